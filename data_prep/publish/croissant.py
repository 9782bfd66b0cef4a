"""`croissant.json`: the dataset for data catalogs, in the Croissant format of MLCommons.

It describes the files, and the rows of `records.parquet`, which Croissant's tools can read; the
photos are in record files, which they cannot. Where the dataset will be downloaded from, by whom
it is cited and under which license are for its owner to add.
"""

import hashlib
from typing import Any

from orchard import storage
from orchard.formats import RECORDS_FILE, Manifest, record_format
from orchard.formats.manifest import DIFFERENCE_HASH_COLUMN, REPEATS_COLUMN

# docs.mlcommons.org/croissant/docs/croissant-spec.html, "Appendix 1: JSON-LD context".
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Columns of `records.parquet`: their type, and what they say.
_FIELDS = {
    "id": ("sc:Text", "Id of the image."),
    "split": ("sc:Text", "Split of the record."),
    "shard": ("sc:Integer", "Which shard of the split holds it."),
    "offset": (
        "sc:Integer",
        "Where in the shard: a byte, or in array_record files a number.",
    ),
    "length": ("sc:Integer", "Bytes of the serialized tf.train.Example."),
    "csv_row": ("sc:Integer", "Row of the label table."),
    "image_crc32c": ("sc:Integer", "CRC-32C of the JPEG in the record."),
    "target": ("sc:Float", "One value a class, in the order of `classes`; -1: unlabeled."),
    "label": ("sc:Integer", "Row of the class in `classes`; -1: unlabeled."),
    "source_file": ("sc:Text", "File of the image within the images folder."),
    "source_sha256": ("sc:Text", "SHA-256 of that file."),
    REPEATS_COLUMN: ("sc:Integer", "Fold in each further repeat of the folds; -1: in none."),
    DIFFERENCE_HASH_COLUMN: ("sc:Text", "Hash by which near duplicates are found."),
}
_LISTS = ("target", REPEATS_COLUMN)


def croissant_json(manifest: Manifest, description: str, records: bytes) -> bytes:
    """The file's content.

    Args:
        manifest: of the dataset.
        description: in words.
        records: the content of `records.parquet`.
    """
    files: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": RECORDS_FILE,
            "name": RECORDS_FILE,
            "description": "An entry a record.",
            "contentUrl": RECORDS_FILE,
            "contentSize": f"{len(records)} B",
            "encodingFormat": "application/x-parquet",
            "sha256": hashlib.sha256(records).hexdigest(),
        },
        *(_shards(manifest, split) for split in manifest.splits),
    ]
    value = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest.name,
        "version": manifest.version,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "distribution": files,
        "recordSet": [_splits(manifest), _classes(manifest), _records(manifest)],
    }
    return storage.json_bytes(value)


def _shards(manifest: Manifest, split: str) -> dict[str, Any]:
    info = manifest.splits[split]
    form = record_format(info.shards[0].file)
    return {
        "@type": "cr:FileSet",
        "@id": f"shards-{split}",
        "name": f"shards-{split}",
        "description": f"{info.num_records} records in {len(info.shards)} shards of "
        "tf.train.Examples: `image` (JPEG), `image_id`, and their labels.",
        "encodingFormat": form.media_type,
        "includes": f"{manifest.name}-{split}.{form.name}-*",
    }


def _splits(manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", "name", "sc:Text", "Name of the split.")],
        "data": [{"splits/name": name} for name in manifest.splits],
    }


def _classes(manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": f"The classes, in order; {manifest.task}.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/name"},
        "field": [_field("classes", "name", "sc:Text", "Name of the class.")],
        "data": [{"classes/name": name} for name in manifest.class_names],
    }


def _records(manifest: Manifest) -> dict[str, Any]:
    labels = "target" if manifest.has_targets else "label"
    columns = [name for name in _FIELDS if name not in ("target", "label") or name == labels]
    if manifest.settings.get("fold_repeats", 1) == 1:
        columns.remove(REPEATS_COLUMN)
    if not manifest.settings.get("near_duplicates"):
        columns.remove(DIFFERENCE_HASH_COLUMN)
    fields = []
    for column in columns:
        field = _field("records", column, *_FIELDS[column])
        field["source"] = {"fileObject": {"@id": RECORDS_FILE}, "extract": {"column": column}}
        if column == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        if column in _LISTS:
            field["repeated"] = True
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "Where each record lies, and its label.",
        "key": {"@id": "records/id"},
        "field": fields,
    }


def _field(record_set: str, name: str, data_type: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "description": description,
        "dataType": data_type,
    }
