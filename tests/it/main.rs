//! The tests of the whole, in one program: it links once, and its tests keep all cores busy to the end. A file that
//! counts on having its process to itself, as one with an allocator of its own does, is a program beside this one.

#[path = "../common/mod.rs"]
mod common;

mod architecture;
mod bench;
mod cli;
mod conservation;
mod family;
mod faults;
mod feed;
mod flags;
mod fuzz;
mod inspect;
mod interrupted;
mod interruption;
mod json;
mod kept;
mod kinds;
mod known;
mod lab_tables;
mod labels;
mod leftovers;
mod limits;
mod merge;
mod one_name;
mod order;
mod outputs;
mod own_tables;
mod pack;
mod patterns;
mod pipes;
mod plate_labels;
mod recognise;
mod resume;
mod root_files;
mod simulate;
mod simulated_again;
mod simulated_layouts;
mod store;
mod store_of_0_1_0;
mod swap;
mod tables;
mod told;
mod transcode;
mod unplaced;
mod verify;
mod zarr_documents;
#[cfg(feature = "zarr")]
mod zarr_in;
#[cfg(feature = "zarr")]
mod zarr_plates;
