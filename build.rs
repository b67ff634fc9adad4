//! Builds the C++ shim of the trainer and tells the loader where libtorch is. Does nothing without the feature `torch`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "torch")]
    torch();
}

#[cfg(feature = "torch")]
fn torch() {
    // torch-sys names the folder of the libraries; the headers lie beside it.
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch is");
    let include = std::path::Path::new(&lib).with_file_name("include");
    println!("cargo:rerun-if-changed=src/train/shim");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/train/shim/shim.cpp")
        .flag("-isystem")
        .flag(include.to_str().expect("a path in UTF-8"))
        .warnings(true)
        .compile("cellshard_shim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
