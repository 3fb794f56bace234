use super::{Schedule, anneal, schedule};

schedule! {
    /// Half cosines one after the other, with warm restarts (Loshchilov and Hutter, SGDR, ICLR 2017; Keras's
    /// `CosineDecayRestarts`): period `k` is `first_decay_steps t_mul^k` updates long and comes down from
    /// `initial m_mul^k` to `alpha initial`.
    ///
    /// `t_mul` is 2, `m_mul` 1 and `alpha` 0 by default, as in Keras; PyTorch's
    /// `CosineAnnealingWarmRestarts` has a `T_mult` of 1.
    CosineDecayRestarts
    new {
        /// From `initial`, with a first period of so many updates.
        initial, first_decay_steps
    }
    set {
        /// Sets how much longer each period is than the one before, at least 1.
        t_mul: growth = 2.0,
        /// Sets how much of its first rate a period has of the one before, positive.
        m_mul: positive = 1.0,
        /// Sets the share of `initial` that is left at the end of each period, from 0 to 1.
        alpha: share = 0.0,
    }
}

impl CosineDecayRestarts {
    fn at(&self, update: f64) -> f64 {
        let (index, share) = self.period(update);
        let height = f64::from(self.m_mul).powf(index);
        let alpha = f64::from(self.alpha);
        f64::from(self.initial) * ((1.0 - alpha) * height * anneal(1.0, 0.0, share) + alpha)
    }

    /// The period that an update is in, and how much of it is over.
    fn period(&self, update: f64) -> (f64, f64) {
        let growth = f64::from(self.t_mul).max(1.0);
        let (mut left, mut length) = (update, f64::from(self.first_decay_steps.max(1)));
        if growth == 1.0 {
            let index = (left / length).floor();
            return (index, left / length - index);
        }
        let mut index = 0.0;
        while left >= length {
            left -= length;
            length *= growth;
            index += 1.0;
        }
        (index, left / length)
    }
}

schedule! {
    /// One rise and one fall (Smith and Topin, Super-Convergence, arXiv:1708.07120), along half cosines and
    /// in two phases, as the rates of PyTorch's `OneCycleLR` by default: from `max / div_factor` to `max`
    /// over the first `pct_start` of the updates, then to `max / div_factor / final_div_factor` at the last,
    /// where it stays. The last update has that rate even where all of them are to rise; PyTorch ends at
    /// `max` then. The momentum, which PyTorch also cycles, stays as it is.
    ///
    /// `pct_start` is 0.3, `div_factor` 25 and `final_div_factor` 1e4 by default.
    OneCycle
    new {
        /// Up to `max`, over so many updates in all.
        max, total_updates
    }
    set {
        /// Sets the share of the updates that the rate rises over, from 0 to 1.
        pct_start: share = 0.3,
        /// Sets how much smaller the first rate is than the largest, positive.
        div_factor: positive = 25.0,
        /// Sets how much smaller the last rate is than the first, positive.
        final_div_factor: positive = 1e4,
    }
}

impl OneCycle {
    fn at(&self, update: f64) -> f64 {
        let (total, max) = (f64::from(self.total_updates), f64::from(self.max));
        let first = max / f64::from(self.div_factor);
        let last = first / f64::from(self.final_div_factor);
        let peak = (total * f64::from(self.pct_start) - 1.0).max(0.0);
        let end = (total - 1.0).max(peak);
        if update < peak {
            anneal(first, max, update / peak)
        } else if update < end {
            anneal(max, last, (update - peak) / (end - peak))
        } else {
            last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn expect(schedule: &dyn Schedule, rates: &[(u32, f64)]) {
        schedule.check().expect("the settings are valid");
        for &(update, want) in rates {
            let (found, error) = (schedule.rate(update), 2e-7 * want.abs().max(1e-3));
            assert!((f64::from(found) - want).abs() <= error, "{schedule:?} at {update}: {found}, {want}");
        }
    }

    #[test]
    fn restarts() {
        // Periods of 10, 20 and 40 updates, from 0, 10 and 30.
        let doubling = CosineDecayRestarts::new(0.1, 10);
        let half = 0.5 * 0.1;
        expect(&doubling, &[(0, 0.1), (5, half), (10, 0.1), (20, half), (30, 0.1), (50, half), (70, 0.1)]);
        let last = |n: f64| 0.05 * (1.0 + (std::f64::consts::PI * (n - 1.0) / n).cos());
        expect(&doubling, &[(9, last(10.0)), (29, last(20.0)), (69, last(40.0))]);
        let lower = doubling.m_mul(0.5).alpha(0.1);
        expect(&lower, &[(0, 0.1), (5, 0.055), (10, 0.055), (20, 0.0325), (30, 0.0325)]);
        let even = doubling.t_mul(1.0);
        expect(&even, &[(0, 0.1), (5, half), (10, 0.1), (15, half), (1_000_005, half), (4_294_967_290, 0.1)]);
        // Every restart of a growth that is no whole number is found: the rate never rises but to the top.
        let odd = CosineDecayRestarts::new(1.0, 7).t_mul(1.3);
        let rises: Vec<u32> = (1..500).filter(|&u| odd.rate(u) > odd.rate(u - 1)).collect();
        let mut start = 0.0f64;
        for (k, &rise) in rises.iter().enumerate() {
            start += 7.0 * f64::from(1.3f32).powi(k as i32);
            assert_eq!(f64::from(rise), start.ceil());
        }
        assert_eq!(rises.len(), 11);
    }

    #[test]
    fn one_cycle() {
        // 100 updates: the top at 29, the bottom at 99.
        let cycle = OneCycle::new(1.0, 100);
        let exact = f64::from(0.3f32) * 100.0 - 1.0;
        let rise = |u: f64| 1.0 + 0.5 * (0.04 - 1.0) * (1.0 + (std::f64::consts::PI * u / exact).cos());
        expect(&cycle, &[(0, 0.04), (10, rise(10.0)), (28, rise(28.0))]);
        assert!((cycle.rate(29) - 1.0).abs() < 1e-6);
        let fall = |u: f64| {
            let share = (u - exact) / (99.0 - exact);
            4e-6 + 0.5 * (1.0 - 4e-6) * (1.0 + (std::f64::consts::PI * share).cos())
        };
        expect(&cycle, &[(30, fall(30.0)), (64, 0.5 + 2e-6), (98, fall(98.0)), (99, 4e-6), (u32::MAX, 4e-6)]);
        let other = OneCycle::new(2.0, 11).pct_start(0.5).div_factor(4.0).final_div_factor(10.0);
        expect(&other, &[(0, 0.5), (10, 0.05), (11, 0.05)]);
        // Nothing to rise over, and a single update.
        expect(&OneCycle::new(1.0, 5).pct_start(0.0), &[(0, 1.0), (4, 4e-6)]);
        expect(&OneCycle::new(1.0, 1), &[(0, 4e-6)]);
        expect(&OneCycle::new(1.0, 10).pct_start(1.0), &[(0, 0.04), (9, 4e-6)]);
    }

    #[test]
    fn bad_settings_are_named() {
        let restarts = CosineDecayRestarts::new(1.0, 5);
        let cycle = OneCycle::new(1.0, 5);
        let bad: [(&str, Box<dyn Schedule>); 9] = [
            ("initial", Box::new(CosineDecayRestarts::new(f32::INFINITY, 5))),
            ("first_decay_steps", Box::new(CosineDecayRestarts::new(1.0, 0))),
            ("t_mul", Box::new(restarts.t_mul(0.9))),
            ("m_mul", Box::new(restarts.m_mul(0.0))),
            ("alpha", Box::new(restarts.alpha(-0.1))),
            ("total_updates", Box::new(OneCycle::new(1.0, 0))),
            ("pct_start", Box::new(cycle.pct_start(1.1))),
            ("div_factor", Box::new(cycle.div_factor(0.0))),
            ("final_div_factor", Box::new(cycle.final_div_factor(f32::NAN))),
        ];
        for (name, schedule) in bad {
            let found = schedule.check();
            assert!(
                matches!(found, Err(Error::Argument { argument, .. }) if argument == name),
                "{name}: {found:?}"
            );
        }
    }
}
