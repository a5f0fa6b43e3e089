//! Makes the build's identity: a hash over the sources whose types a snapshot holds.
//! May not live here: anything that changes what is compiled.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the core's sources") {
        let path = entry.expect("a source file").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
}

fn main() {
    println!("cargo:rerun-if-changed=../core/src");
    println!("cargo:rerun-if-changed=src/snapshot.rs");
    println!("cargo:rerun-if-changed=src/views.rs");
    let mut found = vec![PathBuf::from("src/snapshot.rs"), PathBuf::from("src/views.rs")];
    sources(Path::new("../core/src"), &mut found);
    found.sort();
    let mut hasher = DefaultHasher::new();
    for path in found {
        path.to_string_lossy().replace('\\', "/").hash(&mut hasher);
        std::fs::read(&path).expect("a source file").hash(&mut hasher);
    }
    println!("cargo:rustc-env=REPLAY_ENGINE_BUILD={:016x}", hasher.finish());
}
