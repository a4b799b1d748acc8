//! The schema of a record, made from its types so that it cannot drift.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::experiment::record::{Record, SCHEMA};

/// Where `OpenAPI` keeps what is referred to.
const COMPONENTS: &str = "#/components/schemas/";

/// JSON Schema 2020-12, which is what `OpenAPI` 3.1 describes types by.
pub fn schema() -> Value {
    let mut parts = Vec::new();
    Record::schemas(&mut parts);
    let mut definitions = Map::new();
    for (name, part) in parts {
        definitions.insert(name, value(&part));
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:chaosd:record:{SCHEMA}"),
        "title": "Record of a run of chaosd",
    });
    if let (Some(schema), Value::Object(record)) =
        (schema.as_object_mut(), value(&Record::schema()))
    {
        schema.extend(record);
        schema.insert("$defs".into(), Value::Object(definitions));
    }
    refer(&mut schema);
    schema
}

/// Plain data, which is always written.
fn value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// Points what refers to a component to the definition of that name.
fn refer(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get_mut("$ref")
                && let Some(name) = target.strip_prefix(COMPONENTS)
            {
                *target = format!("#/$defs/{name}");
            }
            map.values_mut().for_each(refer);
        }
        Value::Array(values) => values.iter_mut().for_each(refer),
        _ => {}
    }
}
