//! A name of a type means one thing in the whole crate.

use std::collections::BTreeMap;

use crate::imports::sources;
use crate::src_root;

/// Names that more than one type has, and why each does.
const ON_PURPOSE: [(&str, &str); 0] = [];

#[test]
fn each_type_has_a_name_of_its_own() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources(src_root()) {
        let mut depth = 0;
        for pair in source.tokens.windows(2) {
            let (word, name) = (pair[0].text.as_str(), &pair[1].text);
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                // What is deeper is of an impl or a function, and seen there alone.
                "struct" | "enum" | "trait" | "type" if depth == 0 => {
                    let place = format!("{}:{}", source.file.display(), pair[1].line);
                    defined.entry(name.clone()).or_default().push(place);
                }
                _ => {}
            }
        }
    }
    assert!(defined.contains_key("Router"), "the types are not found");
    for (name, reason) in ON_PURPOSE {
        let places = defined.remove(name).unwrap_or_default();
        assert!(
            places.len() > 1,
            "{name} is defined once; {reason:?} is no reason any more"
        );
    }
    defined.retain(|_, places| places.len() > 1);
    assert!(
        defined.is_empty(),
        "more than one type has the name: {defined:#?}"
    );
}
