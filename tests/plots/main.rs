//! Curves and maps as SVG and PNG.

#[path = "../common/folder.rs"]
mod folder;

mod plot;
