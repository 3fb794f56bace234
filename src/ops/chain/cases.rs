//! Functions of `elementwise.wgsl` for one number: with the one case in place of their `switch`, so that
//! drivers need not look at the others.

use std::collections::BTreeSet;

/// The functions by number, and what they call.
pub(super) const FUNCTIONS: &str = include_str!("../../../shaders/elementwise.wgsl");

/// The functions that take a number.
const NUMBERED: [&str; 5] = ["unary", "slope_by", "derivative", "flat", "binary"];

/// The text from `start` up to the brace that closes the first one it opens.
fn braced(start: &str) -> &str {
    let mut depth = 0;
    for (at, byte) in start.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return &start[..=at],
            b'}' => depth -= 1,
            _ => {}
        }
    }
    start
}

/// The source of a function of `elementwise.wgsl`.
fn function(name: &str) -> Option<&'static str> {
    FUNCTIONS.find(&format!("fn {name}(")).map(|at| braced(&FUNCTIONS[at..]))
}

/// A function for one number, under that name: `unary_9`.
fn case(name: &str, kind: u32) -> Option<String> {
    let whole = function(name)?.replace(&format!("fn {name}(kind: u32, "), &format!("fn {name}_{kind}("));
    let own = NUMBERED
        .iter()
        .fold(whole, |text, other| text.replace(&format!("{other}(kind, "), &format!("{other}_{kind}(")));
    let Some(switch) = own.find("switch kind {") else { return Some(own) };
    let body = braced(&own[switch..]);
    let labels = [format!("case {kind}u: {{"), "default: {".to_owned()];
    let chosen = labels.iter().find_map(|label| body.find(label.as_str()))?;
    Some(own.replace(body, braced(&body[chosen..]).trim_start_matches(|c| c != '{')))
}

/// The functions of these names and numbers, with those that they call.
pub(super) fn cases(wanted: impl Iterator<Item = (&'static str, u32)>) -> String {
    let mut wanted: BTreeSet<(&str, u32)> = wanted.collect();
    for (name, kind) in wanted.clone() {
        if name == "slope_by" {
            wanted.extend([("derivative", kind), ("flat", kind)]);
        }
    }
    let texts = wanted.into_iter().filter_map(|(name, kind)| case(name, kind));
    texts.map(|text| text + "\n\n").collect()
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn a_case_stands_for_its_switch() {
        let relu = "fn unary_9(x: vec4<f32>, a: f32, b: f32) -> vec4<f32> {\n    \
                    { return select(x, ZERO, below_zero(x)); }\n}";
        assert_eq!(case("unary", 9).as_deref(), Some(relu));
        assert_eq!(
            case("flat", 0).as_deref(),
            Some("fn flat_0(v: vec4<f32>, a: f32, b: f32) -> vec4<bool> {\n    { return vec4(false); }\n}")
        );
        assert!(
            case("slope_by", 9)
                .is_some_and(|text| text.contains("derivative_9(v, a) * dy, ZERO, flat_9(v, a, b)"))
        );
        assert!(case("derivative", 14).is_some_and(|text| text.ends_with("INFINITY_BITS));\n        }\n}")));
    }
}
