//! Builds the C++ shim and tells the loader where libtorch is.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/device/ffi");
    // torch-sys names the folder of the libraries; the headers lie beside it.
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch is");
    let include = Path::new(&lib).with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/device/ffi/shim.cpp")
        .flag("-isystem")
        .flag(include.to_str().expect("a path in UTF-8"))
        .warnings(true)
        .compile("cellshard_shim");
    // An installed program has its libraries beside it, and they come first; there are none beside what cargo builds,
    // so that in the tree the second counts. tools/install.sh cuts it off.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
