//! tmp
fn main(){ let out=std::env::var("OUT_DIR").unwrap(); std::fs::copy("../target/ebpf/bpfel-unknown-none/release/plane", out+"/plane.o").unwrap(); }
