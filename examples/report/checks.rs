//! Every operator at ordinary and hostile shapes and values, by every kernel that can be forced: the cases of the crate's own
//! tests, on buffers that are poisoned and guarded.

#[path = "../../tests/common/mod.rs"]
mod suite;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use retape::prelude::*;
use retape::testing::{broken_guards, guarded, poison};
use retape::{Error, HostData};
use serde_json::{Value as Json, json};
use suite::{Case, cases};

use crate::{Budget, Skipped, skipped_json};

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(2);

/// What the checks found.
#[derive(Default)]
pub struct Checks {
    pub passed: usize,
    /// Cases whose results differ, or that ended in an error.
    pub failed: Vec<Skipped>,
    /// Cases that the device has no room for.
    pub refused: Vec<Skipped>,
    /// Cases that there was no time for.
    pub left_out: usize,
    /// Operators that were checked.
    pub operators: BTreeSet<&'static str>,
}

impl Checks {
    pub fn json(&self) -> Json {
        json!({
            "passed": self.passed,
            "failed": skipped_json(&self.failed),
            "refused": skipped_json(&self.refused),
            "left_out": self.left_out,
            "operators": self.operators,
        })
    }
}

/// One thing to check.
enum Check {
    Case(Case),
    Update(String, Box<Tape>),
}

impl Check {
    fn name(&self) -> &str {
        match self {
            Check::Case(case) => &case.name,
            Check::Update(name, _) => name,
        }
    }
}

/// Goes through as many cases as there is time for: one of each kind in any case, then another of each.
pub fn run(device: &Device, budget: &Budget) -> Checks {
    // Cases are chosen by this variable, as in the tests.
    let wanted = std::env::var("RETAPE_TEST_CASE").unwrap_or_default();
    let all = cases::all().into_iter().map(Check::Case);
    let updates = cases::updates::tapes().into_iter().filter(|(name, _)| name.contains(&wanted));
    let updates = updates.map(|(name, tape)| Check::Update(name, Box::new(tape)));
    let mut kinds: BTreeMap<String, VecDeque<Check>> = BTreeMap::new();
    for check in all.chain(updates) {
        let kind = check.name().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        kinds.entry(kind.to_owned()).or_default().push_back(check);
    }
    let (least, total) = (kinds.len(), kinds.values().map(VecDeque::len).sum());
    let (mut found, mut done, mut told) = (Checks::default(), 0, Instant::now());
    while done < total && (done == 0 || budget.left() > 0.0) {
        for check in kinds.values_mut().filter_map(VecDeque::pop_front) {
            let outcome = match &check {
                Check::Case(case) => of_case(device, case, &mut found.operators),
                Check::Update(_, tape) => of_update(device, tape, &mut found.operators),
            };
            match outcome {
                Ok(None) => found.passed += 1,
                Ok(Some(difference)) => found.failed.push(Skipped::new(check.name(), difference)),
                Err(error) if matches!(error.root(), Error::Limit { .. }) => {
                    found.refused.push(Skipped::new(check.name(), error));
                }
                Err(error) => found.failed.push(Skipped::new(check.name(), error)),
            }
            done += 1;
            if told.elapsed() > TOLD || done == total {
                println!("  {done} of {total} cases, {} failed", found.failed.len());
                told = Instant::now();
            }
            if done >= least && budget.left() == 0.0 {
                break;
            }
        }
    }
    found.left_out = total - done;
    found
}

/// What differs in a case, if something does.
fn of_case(
    device: &Device,
    case: &Case,
    operators: &mut BTreeSet<&'static str>,
) -> retape::Result<Option<String>> {
    let recorded = case.record()?;
    let data = case.host_data(&recorded.inputs);
    let (found, mut session) = checked(device, &recorded.tape, &data, operators)?;
    if found.is_some() {
        return Ok(found);
    }
    // A whole replay gives what the operators gave one by one.
    let bits = |session: &Session| {
        let read = session.read(recorded.y).ok();
        read.map(|data| data.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    let one_by_one = bits(&session);
    session.replay()?;
    Ok((bits(&session) != one_by_one).then(|| "a replay differs from its operators one by one".to_owned()))
}

/// What differs in an update, at first and after a step.
fn of_update(
    device: &Device,
    tape: &Tape,
    operators: &mut BTreeSet<&'static str>,
) -> retape::Result<Option<String>> {
    let (found, mut session) = checked(device, tape, &[], operators)?;
    session.replay()?;
    let later = session.verify(&[])?;
    let differs = |found: &retape::OpCheck| format!("{} at the second step: {}", found.name, found.worst);
    Ok(found.or_else(|| later.first_difference().map(differs)))
}

/// A session with its first difference, on poisoned buffers between guards.
fn checked(
    device: &Device,
    tape: &Tape,
    data: &[(Value, HostData<'_>)],
    operators: &mut BTreeSet<&'static str>,
) -> retape::Result<(Option<String>, Session)> {
    operators.extend(tape.ops().iter().map(|node| node.op.name()));
    let mut session = tape.session_with(device, guarded(SessionOptions::new().seed(3)))?;
    poison(&session);
    let found = session.verify(data)?;
    let difference = found.first_difference().map(|first| format!("{}: {}", first.name, first.worst));
    let broken = broken_guards(&session)?;
    let written = (!broken.is_empty()).then(|| format!("wrote past the end of buffers {broken:?}"));
    Ok((difference.or(written), session))
}
