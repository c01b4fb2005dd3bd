//! A name of a type means one thing in the whole crate.

use crate::imports::sources;
use crate::{CRATES, src_root};
use std::collections::BTreeMap;

/// Crate and name that more than one type has, and why.
const ON_PURPOSE: [(&str, &str, &str); 0] = [];

#[test]
fn each_type_has_a_name_of_its_own() {
    for folder in CRATES {
        let mut twice = defined(folder);
        assert!(!twice.is_empty(), "{folder}: the types are not found");
        twice.retain(|_, places| places.len() > 1);
        for (_, name, reason) in ON_PURPOSE.iter().filter(|(of, ..)| *of == folder) {
            let known = twice.remove(*name);
            assert!(
                known.is_some(),
                "{name} is defined once; {reason:?} is no reason any more"
            );
        }
        assert!(
            twice.is_empty(),
            "{folder}: more than one type has the name: {twice:#?}"
        );
    }
}

/// Where each type name is defined.
fn defined(folder: &str) -> BTreeMap<String, Vec<String>> {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources(&src_root(folder)) {
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
    defined
}
