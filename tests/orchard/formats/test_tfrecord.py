import io

import numpy as np
import pytest

from orchard.errors import OrchardError
from orchard.formats import tfrecord


def example(jpeg, image_id, label, target):
    rest = (
        tfrecord.bytes_entry("image_id", image_id)
        + tfrecord.int64_entry("label", [label])
        + tfrecord.float_entry("target", target)
    )
    return tfrecord.example_head("image", len(jpeg), len(rest)) + jpeg + rest


def frame(payload):
    import google_crc32c

    return (
        tfrecord.frame_header(len(payload))
        + payload
        + tfrecord.frame_footer(google_crc32c.value(payload))
    )


@pytest.mark.parametrize("size", [0, 127, 128, 3_000_000])
@pytest.mark.parametrize("label", [0, 3, 300, -1])
def test_tensorflow_reads_our_messages_and_writes_our_frames(tmp_path, size, label):
    import tensorflow as tf

    jpeg, target = b"\xff" * size, np.float32([0.25, 0.75])
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
        "image_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=["a1\u00e9".encode()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "target": tf.train.Feature(float_list=tf.train.FloatList(value=target)),
    }
    message = tf.train.Example(features=tf.train.Features(feature=feature))
    ours = example(jpeg, "a1\u00e9".encode(), label, target)
    assert tf.train.Example.FromString(ours) == message
    assert len(ours) == len(message.SerializeToString())
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        writer.write(ours)
    assert frame(ours) == (tmp_path / "x").read_bytes()


def test_what_is_written_is_read_back():
    target = np.float32([1, 0, 0.5])
    features = tfrecord.decode_example(example(b"jpeg", b"id", -1, target))
    assert features["image"] == [b"jpeg"] and features["image_id"] == [b"id"]
    assert features["label"] == [-1]
    np.testing.assert_array_equal(features["target"], target)


def test_frames_are_found_at_their_offsets():
    payloads = [b"a", b"", b"c" * 1000]
    data = b"".join(map(frame, payloads))
    frames = list(tfrecord.read_frames(io.BytesIO(data), "s"))
    assert [one.payload for one in frames] == payloads
    assert [one.offset for one in frames] == [0, 17, 33]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "record 1 at byte 21: the file ends inside the record"),
        (lambda data: data[:25], "record 1 at byte 21: the file ends inside the record's header"),
        (lambda data: data[:21] + b"\x09" + data[22:], "record 1 .*length does not match"),
        (lambda data: data[:14] + b"X" + data[15:], "record 0 at byte 0: .*checksum"),
    ],
)
def test_damage_is_named_with_record_and_offset(damage, message):
    data = damage(frame(b"first") + frame(b"second"))
    with pytest.raises(OrchardError, match=f"shard-1, {message}"):
        list(tfrecord.read_frames(io.BytesIO(data), "shard-1"))
