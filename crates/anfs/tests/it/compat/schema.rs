//! The part of JSON Schema that OpenRPC lists use. A keyword that is not known here fails the test, so that
//! nothing of a schema is passed over.

use std::cell::RefCell;
use std::collections::HashMap;

use regex_automata::Input;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::syntax;
use serde_json::Value;

/// Named schemas, and the patterns met so far.
pub(super) struct Schemas {
    named: Value,
    patterns: RefCell<HashMap<String, dense::DFA<Vec<u32>>>>,
}

impl Schemas {
    pub(super) fn new(named: Value) -> Self {
        Self { named, patterns: RefCell::default() }
    }

    /// What is wrong with a value; `at` is its place.
    pub(super) fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Value::Object(keywords) = schema else { panic!("a schema is an object: {schema}") };
        let mut faults = Vec::new();
        let mut fault = |words: String| faults.push(format!("{at}: {words}"));
        let mut below = Vec::new();
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                "$ref" => below.extend(self.faults(self.resolve(rule), value, at)),
                "type" if !is_of_type(rule, value) => fault(format!("{} is no {rule}", short(value))),
                "pattern" if value.as_str().is_some_and(|text| !self.matches(rule, text)) => {
                    fault(format!("{} is not {rule}", short(value)));
                }
                "enum" if !list(rule).contains(value) => {
                    fault(format!("{} is not among {rule}", short(value)));
                }
                "minimum" if value.as_f64() < rule.as_f64() => fault(format!("{value} is below {rule}")),
                "maximum" if value.as_f64() > rule.as_f64() => fault(format!("{value} is above {rule}")),
                "required" if value.is_object() => {
                    let absent = list(rule).iter().filter(|name| value.get(text(name)).is_none());
                    absent.for_each(|name| fault(format!("{name} is absent")));
                }
                "properties" => {
                    for (name, rule) in rule.as_object().expect("properties are an object") {
                        if let Some(value) = value.get(name) {
                            below.extend(self.faults(rule, value, &format!("{at}.{name}")));
                        }
                    }
                }
                "additionalProperties" => below.extend(self.others(keywords, rule, value, at)),
                "items" => {
                    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                        below.extend(self.faults(rule, value, &format!("{at}[{index}]")));
                    }
                }
                "allOf" => list(rule).iter().for_each(|rule| below.extend(self.faults(rule, value, at))),
                "oneOf" | "anyOf" => {
                    let tried: Vec<_> = list(rule).iter().map(|rule| self.faults(rule, value, at)).collect();
                    let fits = tried.iter().filter(|faults| faults.is_empty()).count();
                    if fits == 0 {
                        fault(format!("nothing of {keyword} fits: {tried:?}"));
                    } else if keyword == "oneOf" && fits > 1 {
                        fault(format!("{fits} of oneOf fit"));
                    }
                }
                "not" if self.faults(rule, value, at).is_empty() => fault(format!("may not be {rule}")),
                "type" | "pattern" | "enum" | "minimum" | "maximum" | "required" | "not" => {}
                unknown => panic!("keyword {unknown} of {schema} is not known here"),
            }
        }
        faults.extend(below);
        faults
    }

    /// Fields that the schema does not name.
    fn others(
        &self,
        keywords: &serde_json::Map<String, Value>,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let named = keywords.get("properties").and_then(Value::as_object);
        let is_named = |name: &String| named.is_some_and(|named| named.contains_key(name));
        let others = value.as_object().into_iter().flatten().filter(|(name, _)| !is_named(name));
        let check = |(name, value): (&String, &Value)| match rule {
            Value::Bool(true) => Vec::new(),
            Value::Bool(false) => vec![format!("{at}: {name} is not a field of it")],
            rule => self.faults(rule, value, &format!("{at}.{name}")),
        };
        others.flat_map(check).collect()
    }

    fn resolve(&self, reference: &Value) -> &Value {
        let name = text(reference).strip_prefix("#/components/schemas/");
        name.and_then(|name| self.named.get(name)).unwrap_or_else(|| panic!("{reference} is not in the list"))
    }

    fn matches(&self, pattern: &Value, text: &str) -> bool {
        let pattern = self::text(pattern);
        let mut patterns = self.patterns.borrow_mut();
        let dfa = patterns.entry(pattern.to_owned()).or_insert_with(|| {
            let bytes = syntax::Config::new().unicode(false).utf8(false);
            dense::Builder::new().syntax(bytes).build(pattern).expect("the list's patterns are small")
        });
        dfa.try_search_fwd(&Input::new(text)).expect("nothing quits the search").is_some()
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    match text(rule) {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        unknown => panic!("type {unknown} is not known here"),
    }
}

fn list(rule: &Value) -> &Vec<Value> {
    rule.as_array().expect("this keyword takes an array")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("this keyword takes a string")
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

#[test]
fn faults_are_found() {
    use serde_json::json;
    let schemas = Schemas::new(json!({ "uint": {"type": "string", "pattern": "^0x([1-9a-f][0-9a-f]*|0)$"} }));
    let uint = json!({"$ref": "#/components/schemas/uint"});
    let object = json!({"type": "object", "required": ["a"], "properties": {"a": uint}, "additionalProperties": false});
    let either = json!({"oneOf": [{"type": "null"}, {"type": "array", "items": uint}]});
    for (schema, right, wrong) in [
        (&uint, vec![json!("0x0"), json!("0x1f")], vec![json!("0x01"), json!("1"), json!("0x1F"), json!(1)]),
        (
            &object,
            vec![json!({"a": "0x1"})],
            vec![json!({}), json!({"a": "0x1", "b": 1}), json!([]), json!({"a": 1})],
        ),
        (&either, vec![json!(null), json!(["0x1"])], vec![json!(["x"]), json!({})]),
    ] {
        assert!(right.iter().all(|value| schemas.faults(schema, value, "").is_empty()), "{schema}");
        assert!(wrong.iter().all(|value| !schemas.faults(schema, value, "").is_empty()), "{schema}");
    }
}
