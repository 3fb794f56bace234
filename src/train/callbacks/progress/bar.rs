//! The bar on a terminal.

use console::Term;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::train::figures::{cut, wrapped};

/// A terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// A bar over steps, and what stands beside it, in one line of the terminal.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// Asked for its width, which may change.
    terminal: Term,
    steps: u64,
}

impl Bar {
    pub fn hidden() -> Self {
        Bar::new(ProgressDrawTarget::hidden(), 0, 0)
    }

    /// A bar on standard error, if that is a terminal. So many of the steps are done.
    pub fn on_terminal(steps: u64, done: u64) -> Self {
        Bar::new(ProgressDrawTarget::stderr(), steps, done)
    }

    pub fn is_possible() -> bool {
        Term::stderr().is_term()
    }

    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// The time left goes by the steps after those that are done already.
    fn new(target: ProgressDrawTarget, steps: u64, done: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        Bar::set_style(&bar, "{msg}");
        bar.set_position(done);
        bar.reset_eta();
        Bar { bar, terminal: Term::stderr(), steps }
    }

    fn set_style(bar: &ProgressBar, template: &str) {
        // The template is well formed; without it the bar is plain.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
    }

    pub fn show(&self, done: u64, parts: impl IntoIterator<Item = String>) {
        self.show_in(self.width(), done, parts);
    }

    fn show_in(&self, width: usize, done: u64, parts: impl IntoIterator<Item = String>) {
        self.bar.set_position(done);
        let count = format!("{done}/{}", self.steps);
        let left = format!("{:#} left", HumanDuration(self.bar.eta()));
        let (begun, mut parts) = ([count, left], parts.into_iter());
        // Where there is little room, epoch and loss say more than a bar.
        let widths = [(100, 24), (56, 10)].into_iter();
        let length = widths.filter(|(least, _)| width >= *least).map(|(_, length)| length).next();
        let first: Vec<String> = parts.by_ref().take(if length.is_some() { 0 } else { 2 }).collect();
        let room = width.saturating_sub(1 + length.map_or(0, |length| length + 1));
        let template = length.map_or("{msg}".to_owned(), |length| format!("{{bar:{length}}} {{msg}}"));
        Bar::set_style(&self.bar, &template);
        self.bar.set_message(cut(first.into_iter().chain(begun).chain(parts), room));
    }

    /// A line above the bar, broken where the terminal ends.
    pub fn print(&self, parts: impl IntoIterator<Item = String>, gap: &str) {
        self.bar.println(wrapped(parts, gap, self.width()));
    }

    fn width(&self) -> usize {
        let (_, columns) = self.terminal.size_checked().unwrap_or_default();
        if columns == 0 { USUAL_WIDTH } else { columns.into() }
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// An error of `fit` takes the bar away as well.
impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps what is written, whatever it is moved over.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn text(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn parts() -> [String; 4] {
        ["epoch 2/4", "loss 0.2500", "val accuracy 0.9688", "50 samples/s"].map(str::to_owned)
    }

    #[test]
    fn the_bar_and_what_stands_beside_it_fit_the_terminal() {
        let all = "24/48  0s left  epoch 2/4  loss 0.2500  val accuracy 0.9688  50 samples/s";
        for (width, shown) in [
            (120, format!("============>            {all}")),
            (80, "=====>     24/48  0s left  epoch 2/4  loss 0.2500  val accuracy 0.9688".to_owned()),
            (60, "=====>     24/48  0s left  epoch 2/4  loss 0.2500".to_owned()),
            (40, "epoch 2/4  loss 0.2500  24/48  0s left".to_owned()),
            (20, "epoch 2/4".to_owned()),
            (1, String::new()),
        ] {
            let paper = Paper::default();
            let bar = Bar::new(ProgressDrawTarget::term_like(Box::new(paper.clone())), 48, 24);
            bar.show_in(width, 24, parts());
            bar.bar.force_draw();
            let text = paper.text();
            assert!(text.trim_end().ends_with(&shown) && shown.len() < width, "{width}: {text:?}");
        }
    }

    /// A thousand steps that were done in no time say nothing of the thousand to come.
    #[test]
    fn the_time_left_goes_by_the_steps_of_this_training() {
        let bar = Bar::new(ProgressDrawTarget::hidden(), 2_000, 1_000);
        std::thread::sleep(Duration::from_millis(20));
        bar.bar.set_position(1_001);
        // A step took 20 ms at least: 999 of them are left.
        assert!(bar.bar.eta() > Duration::from_secs(10), "{:?}", bar.bar.eta());
    }
}
