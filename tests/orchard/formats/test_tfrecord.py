import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
def test_message_and_frame_are_those_of_tensorflow(tmp_path, size, label):
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


_NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=300)


@given(
    jpeg=st.binary(max_size=300),
    image_id=st.binary(max_size=150),
    label=st.integers(-(2**63), 2**63 - 1),
    target=st.lists(st.floats(width=32, allow_nan=False), max_size=40),
)
def test_example_of_written_features_gives_them_back(jpeg, image_id, label, target):
    found = tfrecord.Example(example(jpeg, image_id, label, target))
    assert (found.bytes_of("image"), found.bytes_of("image_id")) == (jpeg, image_id)
    assert found.ints_of("label") == [label]
    assert found.floats_of("target").dtype == np.float32
    assert found.floats_of("target").tolist() == target


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), _NAMES)
def test_int64_entry_of_any_length_is_read_back(values, name):
    rest = tfrecord.int64_entry(name, values)
    assert tfrecord.Example(tfrecord.example_head("", 0, len(rest)) + rest).ints_of(name) == values


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda found: found.bytes_of("absent"), r"no feature 'absent', but \['image', 'ima"),
        (lambda found: found.ints_of("target"), "'target' is a float_list, not a int64_list"),
        (lambda found: found.floats_of("image"), "'image' is a bytes_list"),
    ],
)
def test_example_asked_for_another_feature_names_it(read, message):
    with pytest.raises(ValueError, match=message):
        read(tfrecord.Example(example(b"jpeg", b"id", -1, [1.0])))


def test_example_of_several_byte_strings_is_not_one():
    rest = tfrecord.bytes_entry("b", b"one") + tfrecord.int64_entry("none", [])
    found = tfrecord.Example(tfrecord.example_head("a", 0, len(rest)) + rest)
    with pytest.raises(ValueError, match="is a int64_list"):
        found.bytes_of("none")
    import tensorflow as tf

    values = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a", b"b"]))
    message = tf.train.Example(features=tf.train.Features(feature={"two": values}))
    with pytest.raises(ValueError, match="'two' has 2 values, not one"):
        tfrecord.Example(message.SerializeToString()).bytes_of("two")


def test_example_of_other_bytes_is_refused():
    with pytest.raises(ValueError, match="no tf.train.Example"):
        tfrecord.Example(b"\x0a\xff")


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_read_frames_gives_back_payloads_and_offsets(payloads):
    data = b"".join(map(frame, payloads))
    frames = list(tfrecord.read_frames(io.BytesIO(data), "s"))
    assert [one.payload for one in frames] == payloads
    ends = np.cumsum([len(one) + tfrecord.FRAME_OVERHEAD_BYTES for one in payloads])
    assert [one.offset for one in frames] == [0, *ends.tolist()][: len(payloads)]


@given(st.data(), st.lists(st.binary(max_size=20), min_size=1, max_size=3))
def test_read_frames_with_a_changed_bit_is_refused(data, payloads):
    content = bytearray(b"".join(map(frame, payloads)))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(OrchardError, match="s, record [0-2] at byte [0-9]+: "):
        list(tfrecord.read_frames(io.BytesIO(bytes(content)), "s"))


@given(st.data(), st.lists(st.binary(max_size=20), min_size=1, max_size=3))
def test_read_frames_of_a_cut_file_is_refused_but_between_records(data, payloads):
    content = b"".join(map(frame, payloads))
    ends = {len(b"".join(map(frame, payloads[:count]))) for count in range(len(payloads))}
    length = data.draw(st.integers(0, len(content) - 1).filter(lambda cut: cut not in ends))
    with pytest.raises(OrchardError, match="the file ends inside the record"):
        list(tfrecord.read_frames(io.BytesIO(content[:length]), "s"))


@given(st.binary(max_size=40), st.integers(0))
def test_is_intact_with_a_changed_bit_is_false(payload, bit):
    content = bytearray(frame(payload)[tfrecord.HEADER_BYTES :])
    assert tfrecord.is_intact(bytes(content))
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    assert not tfrecord.is_intact(bytes(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "record 1 at byte 21: the file ends inside the record"),
        (lambda data: data[:25], "record 1 at byte 21: the file ends inside the record's header"),
        (lambda data: data[:21] + b"\x09" + data[22:], "record 1 .*length does not match"),
        (lambda data: data[:14] + b"X" + data[15:], "record 0 at byte 0: .*checksum"),
    ],
)
def test_read_frames_of_a_damaged_file_names_record_and_offset(damage, message):
    data = damage(frame(b"first") + frame(b"second"))
    with pytest.raises(OrchardError, match=f"shard-1, {message}"):
        list(tfrecord.read_frames(io.BytesIO(data), "shard-1"))
