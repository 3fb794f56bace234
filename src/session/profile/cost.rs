use std::fmt;
use std::iter::Sum;

use crate::kernel::{Roofline, Work};

/// How many groups a table shows, and how wide a name is at most.
const SHOWN: usize = 40;
const WIDTH: usize = 96;

/// What something took and did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// The time that it took.
    pub microseconds: f64,
    /// Multiply-adds of the formula, as [`Work`](crate::tape::Work) counts them: those of products, convolutions and
    /// recurrences.
    pub multiply_adds: u64,
    /// Bytes that it read and wrote.
    pub bytes: u64,
    /// The time that it takes at least by the device's roofline; 0 where that is not known.
    pub least_microseconds: f64,
}

impl Cost {
    pub(super) fn new(seconds: f64, work: Work, roofline: Option<Roofline>) -> Cost {
        Cost {
            microseconds: seconds * 1e6,
            multiply_adds: work.multiply_adds,
            bytes: work.bytes,
            least_microseconds: roofline.map_or(0.0, |roofline| roofline.seconds(work) * 1e6),
        }
    }

    /// Thousand millions of operations a second, a multiply-add being two.
    pub fn gflops(&self) -> f64 {
        self.per_nanosecond(2.0 * self.multiply_adds as f64)
    }

    /// Thousand millions of bytes a second.
    pub fn gbps(&self) -> f64 {
        self.per_nanosecond(self.bytes as f64)
    }

    /// The time that the roofline allows in percent of the time taken. More than 100 where caches give what memory could
    /// not.
    pub fn percent_of_roofline(&self) -> Option<f64> {
        let known = self.least_microseconds > 0.0 && self.microseconds > 0.0;
        known.then(|| 100.0 * self.least_microseconds / self.microseconds)
    }

    fn per_nanosecond(&self, count: f64) -> f64 {
        if self.microseconds > 0.0 { count / self.microseconds / 1e3 } else { 0.0 }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(all: I) -> Cost {
        all.fold(Cost::default(), |sum, cost| Cost {
            microseconds: sum.microseconds + cost.microseconds,
            multiply_adds: sum.multiply_adds.saturating_add(cost.multiply_adds),
            bytes: sum.bytes.saturating_add(cost.bytes),
            least_microseconds: sum.least_microseconds + cost.least_microseconds,
        })
    }
}

/// Dispatches of a profile that have a name in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileGroup {
    /// What they have in common.
    pub name: String,
    /// How many they are.
    pub dispatches: usize,
    /// What they take and do together.
    pub cost: Cost,
}

/// The dispatches of a profile in groups; prints as a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Breakdown {
    /// What the members of a group have in common, such as `kernel`.
    pub what: &'static str,
    /// The groups, those that take longest first.
    pub groups: Vec<ProfileGroup>,
}

impl Breakdown {
    /// Groups by name; those that take equally long stay in the order of the step.
    pub(super) fn new<'a>(what: &'static str, costs: impl Iterator<Item = (&'a str, Cost)>) -> Self {
        let mut groups: Vec<ProfileGroup> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (name, cost) in costs {
            let place = *places.entry(name).or_insert_with(|| {
                groups.push(ProfileGroup { name: name.to_owned(), dispatches: 0, cost: Cost::default() });
                groups.len() - 1
            });
            let group = &mut groups[place];
            group.dispatches += 1;
            group.cost = [group.cost, cost].into_iter().sum();
        }
        Breakdown::sorted(what, groups)
    }

    /// A group for each dispatch.
    pub(super) fn of_each(what: &'static str, costs: impl Iterator<Item = (String, Cost)>) -> Self {
        let group = |(name, cost)| ProfileGroup { name, dispatches: 1, cost };
        Breakdown::sorted(what, costs.map(group).collect())
    }

    fn sorted(what: &'static str, mut groups: Vec<ProfileGroup>) -> Self {
        groups.sort_by(|a, b| b.cost.microseconds.total_cmp(&a.cost.microseconds));
        Breakdown { what, groups }
    }
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>12} {:>6} {:>10} {:>9} {:>10} {:>7}  {}",
            "us", "%", "GFLOP/s", "GB/s", "% of roof", "count", self.what
        )?;
        let (shown, rest) = self.groups.split_at(self.groups.len().min(SHOWN));
        let together = |name: String, groups: &[ProfileGroup]| ProfileGroup {
            name,
            dispatches: groups.iter().map(|group| group.dispatches).sum(),
            cost: groups.iter().map(|group| group.cost).sum(),
        };
        let all = together("in all".to_owned(), &self.groups);
        let others = (!rest.is_empty()).then(|| together(format!("{} more", rest.len()), rest));
        let mut lines = shown.iter().chain(&others).chain([&all]);
        lines.try_for_each(|group| group.line(f, all.cost.microseconds))
    }
}

impl ProfileGroup {
    /// Its line in a table of what takes `whole` microseconds.
    fn line(&self, f: &mut fmt::Formatter<'_>, whole: f64) -> fmt::Result {
        let ProfileGroup { name, dispatches, cost } = self;
        let share = if whole > 0.0 { 100.0 * cost.microseconds / whole } else { 0.0 };
        let roofline = cost.percent_of_roofline();
        let roofline = roofline.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}"));
        let [time, gflops, gbps] = [cost.microseconds, cost.gflops(), cost.gbps()];
        let name: String = if name.is_empty() { "-" } else { name }.chars().take(WIDTH).collect();
        writeln!(f, "{time:12.1} {share:6.1} {gflops:10.1} {gbps:9.1} {roofline:>10} {dispatches:7}  {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Breakdown, Cost, Roofline, SHOWN, Work};

    fn cost(microseconds: f64) -> Cost {
        Cost::new(microseconds * 1e-6, Work::new(1000, 2000, 4000), Some(Roofline::new(2.0, 1.0)))
    }

    #[test]
    fn figures_follow_from_time_and_work() {
        let found = cost(8.0);
        assert_eq!((found.gflops(), found.gbps()), (0.25, 0.5));
        // A microsecond by its arithmetic, four by its bytes.
        assert!((found.least_microseconds - 4.0).abs() < 1e-9);
        assert!((found.percent_of_roofline().unwrap() - 50.0).abs() < 1e-9);
        let unknown = Cost::new(8e-6, Work::new(1, 1, 1), None);
        assert_eq!((unknown.percent_of_roofline(), Cost::default().percent_of_roofline()), (None, None));
        assert_eq!((Cost::default().gflops(), Cost::default().gbps()), (0.0, 0.0));
    }

    #[test]
    fn groups_add_up_and_the_longest_is_first() {
        let groups =
            Breakdown::new("kernel", [("a", cost(1.0)), ("b", cost(5.0)), ("a", cost(3.0))].into_iter());
        let found: Vec<_> =
            groups.groups.iter().map(|g| (&g.name[..], g.dispatches, g.cost.microseconds)).collect();
        assert_eq!(found, [("b", 1, 5.0), ("a", 2, 4.0)]);
        assert_eq!(groups.groups[1].cost.bytes, 8000);
    }

    #[test]
    fn long_tables_end_with_what_is_left_out() {
        let rows = |count: usize| {
            Breakdown::of_each("dispatch", (0..count).map(|i| (format!("row {i}"), cost(1.0)))).to_string()
        };
        let short = rows(SHOWN);
        assert_eq!(short.lines().count(), SHOWN + 2);
        assert!(!short.contains("more"), "{short}");
        let long = rows(SHOWN + 3);
        assert_eq!(long.lines().count(), SHOWN + 3);
        assert!(
            long.contains("      3  3 more\n") && long.ends_with(&format!("{}  in all\n", SHOWN + 3)),
            "{long}"
        );
        assert!(rows(0).ends_with("0  in all\n"));
    }
}
