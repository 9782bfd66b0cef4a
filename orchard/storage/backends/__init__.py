"""The storages that come with us, one file each; a user's own are registered the same way."""
