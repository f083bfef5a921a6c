"""Read and write TFRecord files and tf.train.Example without TensorFlow, which would be 600 MB.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details (length, masked CRC-32C of it,
data, masked CRC-32C of that). The messages are those of tensorflow/core/example/{example,feature}.proto, declared for
the protobuf library in a pool of their own, so that they do not conflict with TensorFlow's when both are loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from models.data.errors import DataError

Values: TypeAlias = list[bytes] | list[float] | list[int]
HEADER: Final = struct.Struct("<QI")
CHECKSUM: Final = struct.Struct("<I")
SCHEMA: Final = """
    name: "example.proto" package: "tensorflow" syntax: "proto3"
    message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
    message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
    message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
    message_type { name: "Feature" oneof_decl { name: "kind" }
        field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL oneof_index: 0
                type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" }
        field { name: "float_list" number: 2 label: LABEL_OPTIONAL oneof_index: 0
                type: TYPE_MESSAGE type_name: ".tensorflow.FloatList" }
        field { name: "int64_list" number: 3 label: LABEL_OPTIONAL oneof_index: 0
                type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" } }
    message_type { name: "Features"
        nested_type { name: "FeatureEntry" options { map_entry: true }
            field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
            field { name: "value" number: 2 label: LABEL_OPTIONAL
                    type: TYPE_MESSAGE type_name: ".tensorflow.Feature" } }
        field { name: "feature" number: 1 label: LABEL_REPEATED
                type: TYPE_MESSAGE type_name: ".tensorflow.Features.FeatureEntry" } }
    message_type { name: "Example"
        field { name: "features" number: 1 label: LABEL_OPTIONAL
                type: TYPE_MESSAGE type_name: ".tensorflow.Features" } }
"""
"""tensorflow/core/example/feature.proto and example.proto; a map is a repeated entry of key and value."""
LONGEST: Final = 1 << 30
"""A longer record is a broken length, not a picture."""


def _example() -> Any:
    file = text_format.Parse(SCHEMA, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


Example: Final = _example()


def encode(features: Mapping[str, Values]) -> bytes:
    """Return a serialized tf.train.Example. The type of each list follows its first value; an empty list has none."""
    example = Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        for scalar, kind in (("bytes", bytes), ("float", float), ("int64", int)):
            if values and isinstance(values[0], kind):
                getattr(feature, f"{scalar}_list").value.extend(values)
    return bytes(example.SerializeToString(deterministic=True))


def decode(data: bytes) -> dict[str, Values]:
    """Return the features of a serialized Example. Raises DataError: when it is anything else."""
    try:
        example = Example.FromString(data)
    except DecodeError as error:
        raise DataError(f"a record is no tf.train.Example: {error}.") from error
    found: dict[str, Values] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def write_record(file: BinaryIO, data: bytes) -> None:
    """Append one record to a file."""
    length = struct.pack("<Q", len(data))
    file.write(length + CHECKSUM.pack(masked(length)) + data + CHECKSUM.pack(masked(data)))


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file. Raises DataError: with the byte where it is cut off or damaged."""
    try:
        with path.open("rb") as file:
            while header := file.read(HEADER.size):
                yield _record(path, file, header)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _record(path: Path, file: BinaryIO, header: bytes) -> bytes:
    start = file.tell() - len(header)
    length, check = HEADER.unpack(header) if len(header) == HEADER.size else (0, -1)
    if masked(header[:8]) != check or length > LONGEST:
        raise DataError(f"{path} is damaged at byte {start}: it is no TFRecord, or was cut off.")
    data, tail = file.read(length), file.read(CHECKSUM.size)
    if len(tail) < CHECKSUM.size or CHECKSUM.unpack(tail)[0] != masked(data):
        raise DataError(f"{path} is damaged at byte {start}: the record is cut off or its checksum is wrong.")
    return data


def masked(data: bytes) -> int:
    """Return the CRC-32C of bytes, rotated and shifted as TFRecord needs it."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
