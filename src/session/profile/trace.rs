//! The trace event format of Chrome, in JSON.

use std::fmt::Write;

use super::{Profile, ProfileRow};

/// The tracks.
const DISPATCHES: usize = 1;
const LAYERS: usize = 2;

/// A profile as a trace.
pub(super) fn write(profile: &Profile) -> String {
    let title = format!("{}, {}", profile.device, profile.clock);
    let mut events = vec![
        named("process_name", 0, &title),
        named("thread_name", DISPATCHES, "dispatches"),
        named("thread_name", LAYERS, "layers"),
    ];
    let (mut start, mut rest) = (0.0, &profile.rows[..]);
    while let Some(first) = rest.first() {
        let same = |row: &&ProfileRow| row.layer == first.layer && row.phase == first.phase;
        let (layer, others) = rest.split_at(rest.iter().take_while(same).count());
        let begin = start;
        for row in layer {
            events.push(dispatch(row, start));
            start += row.cost.microseconds;
        }
        if !first.layer.is_empty() {
            events.push(event(
                &first.layer,
                &format!("{:?}", first.phase),
                LAYERS,
                [begin, start - begin],
                "{}",
            ));
        }
        rest = others;
    }
    format!("{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{}\n]}}\n", events.join(",\n"))
}

fn dispatch(row: &ProfileRow, start: f64) -> String {
    let ProfileRow { op, operator, layer, phase, kernel, constants, groups, cost } = row;
    let texts = [("layer", layer), ("kernel", kernel), ("constants", constants)];
    let mut details = format!("{{\"op\":{op},\"groups\":{groups:?}");
    texts.iter().for_each(|(name, text)| details += &format!(",\"{name}\":{}", quoted(text)));
    let roofline = cost.percent_of_roofline().map_or_else(|| "null".to_owned(), number);
    let _ = write!(
        details,
        ",\"multiply_adds\":{},\"bytes\":{},\"gflops\":{},\"gbps\":{},\"percent_of_roofline\":{roofline}}}",
        cost.multiply_adds,
        cost.bytes,
        number(cost.gflops()),
        number(cost.gbps()),
    );
    event(operator, &format!("{phase:?}"), DISPATCHES, [start, cost.microseconds], &details)
}

/// A complete event, times in microseconds.
fn event(name: &str, category: &str, track: usize, [start, duration]: [f64; 2], details: &str) -> String {
    format!(
        "{{\"name\":{},\"cat\":{},\"ph\":\"X\",\"pid\":1,\"tid\":{track},\"ts\":{},\"dur\":{},\"args\":{details}}}",
        quoted(name),
        quoted(&category.to_lowercase()),
        number(start),
        number(duration),
    )
}

/// An event that names the process or a track.
fn named(what: &str, track: usize, name: &str) -> String {
    let name = quoted(name);
    format!("{{\"name\":\"{what}\",\"ph\":\"M\",\"pid\":1,\"tid\":{track},\"args\":{{\"name\":{name}}}}}")
}

/// A number to a thousandth; JSON has none that is not finite.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "null".to_owned() }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
