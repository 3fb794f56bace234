use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::ThreadId;

use super::{Callback, CallbackState, Direction, Monitor, Run};
use crate::error::{Error, Result};
use crate::train::{Trainer, checkpoint};

/// The folders that callbacks of this program hold, each with the thread that trains there.
static HELD: Mutex<Vec<(PathBuf, ThreadId, Weak<File>)>> = Mutex::new(Vec::new());

/// Writes checkpoints as training goes: `last.safetensors`, which
/// [`Fit::resume`](crate::train::Fit::resume) goes on from, the one before it as `previous.safetensors`, in case
/// the last one is damaged, and if asked `best.safetensors`, the training as it was when a figure was best. What was best is remembered in checkpoints, and from one
/// training to the next where the callback is given by reference; otherwise
/// [`initial_value_threshold`](ModelCheckpoint::initial_value_threshold) says what there is to beat.
///
/// A checkpoint is written beside its place and renamed: a computer that goes down in the middle leaves
/// the one before. One that cannot be written ends [`fit`](crate::train::Trainer::fit) with
/// [`Error::Io`]; the older checkpoints are there, and the trainer has all that
/// [`Trainer::save_checkpoint`] needs to write one elsewhere, to go on from.
/// [`Trainer::load_weights`] takes the weights out of any of them.
///
/// A folder is one training's: where another program, or another thread of this one, is at its training there,
/// `fit` is refused with [`Error::Argument`] before it begins. The file `.lock` in the folder says so, on file systems that can lock; a
/// program that has ended, in whatever way, holds none.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::callbacks::ModelCheckpoint;
/// # let fit =
/// Fit::epochs(100)
///     .validation_split(0.2)
///     .callback(ModelCheckpoint::new("checkpoints").best("val_loss"))
/// # ;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ModelCheckpoint {
    folder: PathBuf,
    every_epochs: usize,
    every_steps: Option<u32>,
    figure: Option<String>,
    mode: Direction,
    keep_all: bool,
    threshold: Option<f64>,
    best: Option<f64>,
    /// Held as long as the callback is there.
    lock: Option<Arc<File>>,
}

impl ModelCheckpoint {
    /// The name of the newest checkpoint in its folder.
    pub const LAST: &str = checkpoint::LAST;
    /// The name of the one before it.
    pub const PREVIOUS: &str = checkpoint::PREVIOUS;
    /// The name of the best one.
    pub const BEST: &str = "best.safetensors";

    /// After each epoch, into this folder, which is made if it is missing.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        ModelCheckpoint {
            folder: folder.as_ref().to_owned(),
            every_epochs: 1,
            every_steps: None,
            figure: None,
            mode: Direction::Auto,
            keep_all: false,
            threshold: None,
            best: None,
            lock: None,
        }
    }

    setters! {
        /// After every so many epochs only. The best one is looked for after each.
        every_epochs: usize => every_epochs;
        /// After every so many steps as well, counted from the first of the training.
        every_steps: u32 => every_steps;
        /// The figure that the first [`best`](ModelCheckpoint::best) training has to be better than: that of
        /// a file from before, which is not replaced by a worse one then. Without it, the first epoch is the
        /// best one so far.
        initial_value_threshold: f64 => threshold;
        /// Keeps the checkpoint of each epoch that one is written after, in files of their own as well:
        /// `epoch_0001.safetensors` after the first.
        keep_all => keep_all = true;
        /// Whether small or large figures are better for [`best`](ModelCheckpoint::best); as the loss or the
        /// metric itself says by default ([`Direction::Auto`]).
        mode: Direction => mode;
    }

    /// Keeps the best training so far by this figure, such as `val_loss`, in a file of its own.
    pub fn best(mut self, figure: &str) -> Self {
        self.figure = Some(figure.to_owned());
        self
    }

    /// What watches the figure of this name.
    fn monitor(&self, name: &str, run: &Run<'_>) -> Result<Monitor> {
        let mut monitor = Monitor::new(name).mode(self.mode);
        monitor.watch(run).map(|()| monitor)
    }

    /// The newest checkpoint.
    pub fn last_path(&self) -> PathBuf {
        self.folder.join(Self::LAST)
    }

    /// The one before it.
    pub fn previous_path(&self) -> PathBuf {
        self.folder.join(Self::PREVIOUS)
    }

    /// The best one.
    pub fn best_path(&self) -> PathBuf {
        self.folder.join(Self::BEST)
    }

    /// That of an epoch, counted from 0 as everywhere, where all are kept.
    pub fn epoch_path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch_{:04}.safetensors", epoch + 1))
    }

    /// Locks the folder against other programs and other threads.
    fn lock(&mut self) -> Result<()> {
        let error = Error::io(&self.folder);
        let folder = self.folder.canonicalize().map_err(error)?;
        let refuse = |holder: &str| {
            let value = format!("{}, where {holder} is at a training", folder.display());
            Err(Error::argument("folder", value, "a folder that no other training writes to"))
        };
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(_, _, file)| file.strong_count() > 0);
        let here = held.iter().find(|(other, ..)| *other == folder);
        if let Some((thread, file)) = here.and_then(|(_, thread, file)| Some((thread, file.upgrade()?))) {
            // Callbacks of one training may share a folder.
            if *thread != std::thread::current().id() {
                return refuse("another thread of this program");
            }
            self.lock = Some(file);
            return Ok(());
        }
        let path = folder.join(".lock");
        let error = Error::io(&path);
        let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(error)?;
        match file.try_lock() {
            Ok(()) => {
                let own = std::process::id().to_string();
                file.set_len(0).and_then(|()| file.write_all(own.as_bytes())).map_err(error)?;
            }
            Err(TryLockError::WouldBlock) => {
                // Where a lock keeps others from reading, or its holder has not said yet who it is, nobody knows.
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return match holder.is_empty() {
                    true => refuse("another process"),
                    false => refuse(&format!("process {holder}")),
                };
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let file = Arc::new(file);
        held.push((folder, std::thread::current().id(), Arc::downgrade(&file)));
        self.lock = Some(file);
        Ok(())
    }
}

impl Callback for ModelCheckpoint {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        if self.every_epochs == 0 || self.every_steps == Some(0) {
            return Err(Error::argument("every", 0, "at least 1"));
        }
        // No figure is better than NaN: nothing would ever be written.
        if self.threshold.is_some_and(f64::is_nan) {
            return Err(Error::argument("initial_value_threshold", "NaN", "a number"));
        }
        if let Some(name) = &self.figure {
            self.monitor(name, run).map(drop)?;
        }
        std::fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        if self.lock.is_none() { self.lock() } else { Ok(()) }
    }

    fn every_steps(&self) -> Option<u32> {
        self.every_steps
    }

    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        run.write_checkpoint(self.last_path());
        Ok(())
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        let epoch = run.epoch();
        if let Some(name) = &self.figure {
            let monitor = self.monitor(name, run)?;
            let figure = monitor.figure(run.logs()?)?;
            if monitor.is_better(figure, self.best.or(self.threshold))? {
                self.best = Some(figure);
                run.write_checkpoint(self.best_path());
            }
        }
        if (epoch + 1).is_multiple_of(self.every_epochs) {
            if self.keep_all {
                run.write_checkpoint(self.epoch_path(epoch));
            }
            run.write_checkpoint(self.last_path());
        }
        Ok(())
    }

    fn identity(&self) -> String {
        let name = "ModelCheckpoint";
        self.figure.as_ref().map_or(name.to_owned(), |figure| format!("{name}({figure})"))
    }

    fn save(&self, _: &Trainer) -> Result<CallbackState> {
        Ok(CallbackState::of([], self.best))
    }

    fn load(&mut self, state: &CallbackState, _: &mut Trainer) -> Result<()> {
        self.best = state.number("best");
        Ok(())
    }
}
