//! The reader of packages under changed bytes: whatever comes, it says what is wrong or takes it.

use ebpf_package::{Checked, Package, Reading, decode};
use test_fuzz::{Reading as Outcome, Target};

/// A shape that was taken reads any bytes, and none.
fn read_all(checked: &Checked) {
    for exported in &checked.exported {
        let shapes = match &exported.reading {
            Reading::Rows { key, value, .. } => vec![key, value],
            Reading::Events { event } => vec![event],
        };
        for shape in shapes {
            assert!(shape.bytes() <= 4_096);
            for bytes in [vec![0xff; shape.bytes()], vec![0; shape.bytes() / 2], Vec::new()] {
                decode(shape, &bytes);
            }
        }
    }
}

#[test]
fn fuzz_package_object_is_refused_or_read() {
    let manifests = ["opens-by-process", "tcp-states"].map(|name| crate::bytes::sample(name).0);
    let objects = [
        "tests/objects/shapes.bpf.o",
        "../samples/observe/tcp-states.bpf.o",
        "../samples/observe/opens-by-process.bpf.o",
    ];
    let objects = objects.map(crate::bytes::object);
    Target::new("package_object", include_str!("../../corpus/package_object.txt"))
        .with(objects)
        .survives(|bytes| {
            let checked: Vec<_> = manifests
                .iter()
                .filter_map(|manifest| Package::new(manifest.clone(), bytes.to_vec()).ok()?.check().ok())
                .collect();
            checked.iter().for_each(read_all);
            Outcome::of(!checked.is_empty())
        });
}

#[test]
fn fuzz_package_text_is_refused_or_reads_back() {
    let (manifest, object) = crate::bytes::sample("tcp-states");
    let package = Package::new(manifest, object).unwrap().to_text();
    let target = Target::new("package_text", include_str!("../../corpus/package_text.txt")).with([package]);
    target.of_json().survives(|bytes| {
        let Ok(package) = Package::parse(bytes) else { return Outcome::of(false) };
        assert_eq!(Package::parse(package.to_text().as_bytes()).as_ref(), Ok(&package));
        let _refused = package.check();
        Outcome::of(true)
    });
}
