//! Data: files, archives, folders, tables, texts and samples in memory.

#[path = "../common/folder.rs"]
mod folder;
#[path = "../common/mutate.rs"]
mod mutate;
#[cfg(feature = "download")]
#[path = "../common/server.rs"]
mod server;

mod data;
mod download;
mod image_folder;
mod kin;
mod mutants;
mod pictures;
mod samples;
mod table;
mod table_forms;
mod text;
