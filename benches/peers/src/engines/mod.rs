//! The engines, behind one face: what does the work of a row and tells its results.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "meganeura")]
mod meganeura;
mod retape;

use ::retape::prelude::Device;
use clap::ValueEnum;

use crate::work::{Row, XOR};

/// Work that is ready to be done.
pub trait Engine {
    /// Does the work so many times and waits for the device to finish.
    fn run(&mut self, times: usize);

    /// What the last time gave: the loss before its update, or the output.
    fn result(&mut self) -> Vec<f32>;

    /// The device at work, as the engine calls it.
    fn device(&self) -> String;
}

/// What is timed in turns, this crate first: the others' times are told as multiples of its own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Retape,
    /// As above, but every step is handed over by a call of its own.
    SingleReplays,
    Reference,
    #[cfg(feature = "burn")]
    Burn,
    #[cfg(feature = "meganeura")]
    Meganeura,
}

impl Peer {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Retape => "retape",
            Peer::SingleReplays => "retape, single replays",
            Peer::Reference => "retape's reference",
            #[cfg(feature = "burn")]
            Peer::Burn => "burn 0.22.1",
            #[cfg(feature = "meganeura")]
            Peer::Meganeura => "meganeura 0.3.0",
        }
    }

    /// Whether it does a row on such a device.
    pub fn takes(self, row: &Row, device: &Device) -> bool {
        match self {
            Peer::Retape => true,
            Peer::SingleReplays => row.name == XOR,
            Peer::Reference => !device.is_gpu(),
            #[cfg(any(feature = "burn", feature = "meganeura"))]
            _ => device.is_gpu(),
        }
    }

    /// The work made ready.
    ///
    /// # Errors
    /// What this engine has no operator for.
    pub fn prepare(self, row: &Row, device: &Device) -> Result<Box<dyn Engine>, String> {
        match self {
            Peer::Retape | Peer::SingleReplays => {
                let retape = retape::Work::new(row, device, self == Peer::SingleReplays);
                retape.map(|work| Box::new(work) as Box<dyn Engine>).map_err(|e| e.to_string())
            }
            Peer::Reference => Peer::Retape.prepare(row, &Device::reference()),
            #[cfg(feature = "burn")]
            Peer::Burn => Ok(Box::new(burn::Work::new(row, device))),
            #[cfg(feature = "meganeura")]
            Peer::Meganeura => Ok(Box::new(meganeura::Work::new(row)?)),
        }
    }
}
