//! The methods of ethereum/execution-apis with their schemas, and the checks against them.

use std::collections::BTreeSet;

use anfs_rpc::{METHODS, REFUSED_NAMESPACES};
use serde_json::{Map, Value, json};

use super::schema::Schemas;

const LIST: &str = include_str!("../../execution-apis/openrpc.json");

/// The list, what was called of it, and what was wrong.
pub(super) struct Spec {
    methods: Map<String, Value>,
    schemas: Schemas,
    called: BTreeSet<String>,
    pub(super) faults: Vec<String>,
}

impl Spec {
    pub(super) fn load() -> Self {
        let mut list: Value = serde_json::from_str(LIST).expect("the list is JSON");
        let Value::Object(methods) = list["methods"].take() else { panic!("the list has methods") };
        let schemas = Schemas::new(list["components"]["schemas"].take());
        Self { methods, schemas, called: BTreeSet::new(), faults: Vec::new() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    pub(super) fn has(&self, method: &str) -> bool {
        self.methods.contains_key(method)
    }

    pub(super) fn was_called(&self, method: &str) -> bool {
        self.called.contains(method)
    }

    /// Checks a value against a schema; `what` names it in faults.
    pub(super) fn check(&mut self, what: &str, schema: &Value, value: &Value) {
        let found = self.schemas.faults(schema, value, "result");
        if !found.is_empty() {
            let shown: String = value.to_string().chars().take(1500).collect();
            let shorter = found.iter().map(|fault| fault.chars().take(600).collect::<String>());
            self.faults.push(format!("{what}: {}\n  in {shown}", shorter.collect::<Vec<_>>().join("; ")));
        }
    }

    /// Checks a value against one of the named schemas.
    pub(super) fn check_named(&mut self, what: &str, name: &str, value: &Value) {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        self.check(what, &schema, value);
    }

    /// Checks one call's parameters and its outcome.
    pub(super) fn record(&mut self, method: &str, params: &[Value], outcome: &Result<Value, Value>) {
        self.called.insert(method.to_owned());
        let known = self.methods.get(method).cloned().unwrap_or_default();
        for (param, value) in known["params"].as_array().into_iter().flatten().zip(params) {
            self.check(&format!("{method}, {}", param["name"]), &param["schema"], value);
        }
        let result = match outcome {
            Ok(result) => result,
            Err(error) => return self.faults.push(format!("{method} {}: {error}", json!(params))),
        };
        match known.get("result") {
            Some(schema) => self.check(method, schema, result),
            None if self.has(method) => {
                self.faults.push(format!("{method} is served: add its schema to the list"));
            }
            None => {}
        }
    }
}

pub(super) fn served(name: &str) -> bool {
    METHODS.iter().any(|method| method.name == name && method.refusal().is_none())
}

/// Why a method is refused: by its own line of the table, or with its namespace.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    let own = METHODS.iter().find(|method| method.name == name).and_then(|method| method.refusal());
    let namespaces = || REFUSED_NAMESPACES.iter().find(|(prefix, _)| name.starts_with(prefix));
    own.or_else(|| namespaces().map(|(_, reason)| *reason))
}
