//! The documents of a store are the same bytes here, where zarrs has `serde_json` keep the order of maps.

#[path = "../../tests/it/zarr_documents.rs"]
mod zarr_documents;

#[test]
fn maps_keep_their_order_here() {
    let map: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
    assert_eq!(map.to_string(), r#"{"b":1,"a":2}"#);
}
