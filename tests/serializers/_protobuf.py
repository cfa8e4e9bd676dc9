"""Messages of Protocol Buffers as protoc would make them, of one file in each syntax."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

PROTO3 = """
name: "wa_shop.proto" package: "wa_shop" syntax: "proto3"
dependency: "google/protobuf/timestamp.proto"
dependency: "google/protobuf/struct.proto"
enum_type {
  name: "Status"
  value { name: "NEW" number: 0 } value { name: "PAID" number: 1 }
}
message_type {
  name: "Line"
  field { name: "sku" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "count" number: 2 type: TYPE_UINT32 label: LABEL_OPTIONAL }
}
message_type {
  name: "Order"
  field { name: "id" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "total_cents" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "big" number: 3 type: TYPE_FIXED64 label: LABEL_OPTIONAL }
  field { name: "weight" number: 4 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "customer" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "raw" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "gift" number: 7 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "status" number: 8 type: TYPE_ENUM type_name: ".wa_shop.Status"
          label: LABEL_OPTIONAL }
  field { name: "lines" number: 9 type: TYPE_MESSAGE type_name: ".wa_shop.Line"
          label: LABEL_REPEATED }
  field { name: "codes" number: 10 type: TYPE_SINT64 label: LABEL_REPEATED }
  field { name: "stock" number: 11 type: TYPE_MESSAGE type_name: ".wa_shop.Order.StockEntry"
          label: LABEL_REPEATED }
  field { name: "shelves" number: 12 type: TYPE_MESSAGE type_name: ".wa_shop.Order.ShelvesEntry"
          label: LABEL_REPEATED }
  field { name: "card" number: 13 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "voucher" number: 14 type: TYPE_MESSAGE type_name: ".wa_shop.Line"
          label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "cash" number: 15 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "nothing" number: 20 type: TYPE_ENUM type_name: ".google.protobuf.NullValue"
          label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "floor" number: 16 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 1
          proto3_optional: true }
  field { name: "parent" number: 17 type: TYPE_MESSAGE type_name: ".wa_shop.Order"
          label: LABEL_OPTIONAL }
  field { name: "at" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp"
          label: LABEL_OPTIONAL }
  field { name: "extra" number: 19 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct"
          label: LABEL_OPTIONAL }
  oneof_decl { name: "payment" } oneof_decl { name: "_floor" }
  nested_type {
    name: "StockEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  }
  nested_type {
    name: "ShelvesEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".wa_shop.Line"
            label: LABEL_OPTIONAL }
  }
}
message_type {
  name: "OldOrder"
  field { name: "id" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
}
"""

PROTO2 = """
name: "wa_old.proto" package: "wa_old" syntax: "proto2"
enum_type {
  name: "Size"
  value { name: "SMALL" number: 1 } value { name: "LARGE" number: 2 }
}
message_type {
  name: "Parcel"
  field { name: "id" number: 1 type: TYPE_INT32 label: LABEL_REQUIRED }
  field { name: "size" number: 2 type: TYPE_ENUM type_name: ".wa_old.Size" label: LABEL_OPTIONAL
          default_value: "LARGE" }
  field { name: "note" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL default_value: "none" }
  field { name: "inner" number: 4 type: TYPE_MESSAGE type_name: ".wa_old.Parcel"
          label: LABEL_OPTIONAL }
}
message_type {
  name: "Crate"
  field { name: "id" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  extension_range { start: 100 end: 200 }
}
message_type {
  name: "Parcels"
  field { name: "all" number: 1 type: TYPE_MESSAGE type_name: ".wa_old.Parcel"
          label: LABEL_REPEATED }
}
extension {
  name: "colour" number: 100 type: TYPE_STRING label: LABEL_OPTIONAL extendee: ".wa_old.Crate"
}
extension {
  name: "content" number: 101 type: TYPE_MESSAGE type_name: ".wa_old.Parcel"
  label: LABEL_OPTIONAL extendee: ".wa_old.Crate"
}
"""


def _loaded() -> descriptor_pool.DescriptorPool:
    # Imported for what they add to the pool.
    from google.protobuf import struct_pb2, timestamp_pb2

    pool = descriptor_pool.Default()
    assert {struct_pb2.DESCRIPTOR.package, timestamp_pb2.DESCRIPTOR.package} == {"google.protobuf"}
    for text in (PROTO3, PROTO2):
        file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _loaded()


def message_class(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


Order = message_class("wa_shop.Order")
OldOrder = message_class("wa_shop.OldOrder")
Line = message_class("wa_shop.Line")
Parcel = message_class("wa_old.Parcel")
Parcels = message_class("wa_old.Parcels")
Crate = message_class("wa_old.Crate")
CONTENT: Any = POOL.FindExtensionByName("wa_old.content")
COLOUR: Any = POOL.FindExtensionByName("wa_old.colour")
