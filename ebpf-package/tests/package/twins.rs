//! What is refused, by what it is refused for.

use ebpf_package::{Attach, MapKind, Package, PublicKey, Reading, Refusal, Shape, SigningKey};

use crate::bytes::{TWIN, changed, check, object, sample, twin};

#[test]
fn the_samples_are_packages_that_may_be_loaded() {
    let (manifest, bytes) = sample("opens-by-process");
    let checked = check(&manifest, bytes).unwrap();
    assert_eq!(checked.manifest.programs[0].attach, Attach::Plain("sys_enter".to_owned()));
    let [opens] = checked.exported.as_slice() else {
        panic!("{:?}", checked.exported)
    };
    assert_eq!(
        (opens.map.kind, opens.map.entries, opens.map.key_bytes, opens.map.value_bytes),
        (MapKind::Hash, 4096, 20, 16)
    );
    let Reading::Rows {
        key: Shape::Structure { fields, .. },
        order_by,
        ..
    } = &opens.reading
    else {
        panic!("{opens:?}")
    };
    assert_eq!(
        fields.iter().map(|field| (field.name.as_str(), &field.shape)).collect::<Vec<_>>(),
        [("pid", &Shape::Unsigned(4)), ("command", &Shape::Text(16))]
    );
    assert_eq!(order_by.as_deref(), Some("count"));
    let (manifest, bytes) = sample("tcp-states");
    let checked = check(&manifest, bytes).unwrap();
    let Reading::Events { event } = &checked.exported[0].reading else {
        panic!("{checked:?}")
    };
    assert_eq!(event.bytes(), 24);
    assert!(checked.memory_bytes(4) > checked.memory_bytes(1));
}

#[test]
fn what_does_more_than_look_is_refused_by_name() {
    let refused = |name: &str| twin(name, TWIN).unwrap_err();
    assert!(matches!(
        refused("writes_memory"),
        Refusal::Helper {
            helper: "probe_write_user",
            id: 36,
            ..
        }
    ));
    assert!(matches!(refused("tail_call"), Refusal::Helper { helper: "tail_call", .. }));
    assert!(matches!(refused("kernel_function"), Refusal::KernelFunction { .. }));
    let Refusal::ProgramKind { section } = refused("changes_a_hook") else {
        panic!()
    };
    assert_eq!(section, "lsm/file_open");
}

#[test]
fn maps_without_a_bound_are_refused_with_the_bound() {
    let Refusal::TooMuch { found, most, what } = twin("huge_map", TWIN).unwrap_err() else {
        panic!()
    };
    assert_eq!((what.as_str(), found, most), ("entries of the map rows", 1 << 24, 65_536));
    let Refusal::TooMuch { what, .. } = twin("much_memory", TWIN).unwrap_err() else {
        panic!()
    };
    assert_eq!(what, "bytes of all maps on a host with 1 CPUs");
    let Refusal::Map { why, .. } = twin("pinned_map", TWIN).unwrap_err() else {
        panic!()
    };
    assert!(why.contains("pinned"), "{why}");
    // A count for each CPU is counted as often as there are CPUs.
    let shapes = twin("shapes", SHAPES).unwrap();
    assert_eq!(shapes.memory_bytes(64) - shapes.memory_bytes(1), 63 * (16 + 1) * 8);
}

#[test]
fn what_means_nothing_outside_of_the_kernel_is_not_told() {
    let Refusal::Untellable { what, why } = twin("pointer_value", TWIN).unwrap_err() else {
        panic!()
    };
    assert_eq!(what, "rows.value.address");
    assert!(why.contains("pointer"), "{why}");
}

const SHAPES: &str = r#"
name = "shapes"
version = "1"
lost = "lost"

[[programs]]
name = "fill"
attach = "raw_tp/sys_enter"

[[maps]]
name = "shapes"
read = "rows"

[[maps]]
name = "by_cpu"
read = "rows"

[[maps]]
name = "ring"
read = "events"
type = "event"
value_bytes = 8
"#;

#[test]
fn a_manifest_that_lies_is_refused_with_what_differs() {
    twin("shapes", SHAPES).unwrap();
    for (from, to, what, found) in [
        ("\"fill\"", "\"flll\"", "the program flll", "none of that name"),
        ("raw_tp/sys_enter", "tp_btf/sys_enter", "the program fill", "raw_tp/sys_enter"),
        ("raw_tp/sys_enter", "raw_tp/sys_exit", "the program fill", "raw_tp/sys_enter"),
        ("name = \"by_cpu\"", "name = \"by_gpu\"", "the map by_gpu", "none of that name"),
        (
            "name = \"by_cpu\"\nread = \"rows\"",
            "name = \"by_cpu\"\nread = \"events\"\ntype = \"event\"",
            "the kind of the map by_cpu",
            "no ring",
        ),
        (
            "name = \"by_cpu\"\nread = \"rows\"",
            "name = \"by_cpu\"\nread = \"rows\"\nentries = 17",
            "entries of the map by_cpu",
            "16",
        ),
        (
            "name = \"by_cpu\"\nread = \"rows\"",
            "name = \"by_cpu\"\nread = \"rows\"\norder_by = \"x\"",
            "order_by of the map by_cpu",
            "no number",
        ),
        ("value_bytes = 8", "value_bytes = 9", "value_bytes of the map ring", "8"),
        ("type = \"event\"", "type = \"evenf\"", "the events of the map ring", "no such structure"),
        ("lost = \"lost\"", "lost = \"gone\"", "the map of lost", "none of that name"),
        ("lost = \"lost\"", "lost = \"shapes\"", "the map of lost", "something else"),
    ] {
        let manifest = SHAPES.replacen(from, to, 1);
        assert_ne!(manifest, SHAPES);
        let refused = twin("shapes", &manifest).unwrap_err();
        let Refusal::Differs { what: of, object, .. } = &refused else {
            panic!("{to}: {refused}")
        };
        assert!(of == what && object.contains(found), "{to}: {refused}");
    }
    // A program that the manifest does not name is as much of a lie.
    let two = check(&TWIN.replace("\"run\"", "\"opening\""), sample("opens-by-process").1).unwrap_err();
    assert!(matches!(two, Refusal::Differs { .. }), "{two}");
}

#[test]
fn what_is_no_object_for_a_kernel_is_refused() {
    let (manifest, good) = sample("tcp-states");
    for length in (0..good.len()).step_by(7).chain([0, 1, 63, 64]) {
        assert!(check(&manifest, good[..length].to_vec()).is_err(), "{length} bytes of {}", good.len());
    }
    assert!(matches!(check(&manifest, Vec::new()), Err(Refusal::NotElf(_))));
    assert!(matches!(check(&manifest, b"#!/bin/sh".to_vec()), Err(Refusal::NotElf(_))));
    let mut other = good.clone();
    other[0x12..0x14].copy_from_slice(&62_u16.to_le_bytes());
    assert_eq!(check(&manifest, other), Err(Refusal::OtherMachine(62)));
    let itself = std::fs::read("/proc/self/exe").unwrap();
    assert!(matches!(Package::new(manifest.clone(), itself), Err(Refusal::TooMuch { .. })));
    assert_eq!(check(&manifest, changed(good.clone(), b".BTF\0", b".BTG\0")), Err(Refusal::NoBtf));
    assert_eq!(check(&manifest, changed(good.clone(), b"\0license\0", b"\0licence\0")), Err(Refusal::NoLicense));
    let prose = check(&manifest, changed(good.clone(), b"tp_btf/inet_sock_set_state", b"tp_xyz/inet_sock_set_state"));
    assert!(matches!(prose, Err(Refusal::ProgramKind { .. })), "{prose:?}");
    assert!(matches!(check(&manifest, changed(good, b"\0.maps\0", b"\0.mapz\0")), Err(Refusal::Code { .. })));
}

#[test]
fn a_license_that_is_not_the_gpl_is_refused_where_a_helper_needs_it() {
    let (manifest, good) = sample("opens-by-process");
    // It calls no helper that is under the GPL.
    check(&manifest, changed(good, b"GPL\0", b"MIT\0")).unwrap();
    let changed = changed(object("tests/objects/writes_memory.bpf.o"), b"GPL\0", b"MIT\0");
    // The number of the helper, 36, becomes that of one that looks, 113.
    let call = |number: u8| [0x85, 0, 0, 0, number, 0, 0, 0];
    let looks = crate::bytes::changed(changed, &call(36), &call(113));
    assert!(matches!(
        check(TWIN, looks),
        Err(Refusal::LicenseNotGpl { helper: "probe_read_kernel", license, .. }) if license == "MIT"
    ));
}

fn key() -> (SigningKey, PublicKey) {
    let key = SigningKey::generate().unwrap();
    let public = key.public().unwrap();
    (key, public)
}

#[test]
fn only_what_a_trusted_key_signed_is_trusted_and_any_change_is_seen() {
    let (manifest, bytes) = sample("tcp-states");
    let package = Package::new(manifest.clone(), bytes.clone()).unwrap();
    let ((ours, public), (theirs, other)) = (key(), key());
    assert_eq!(package.check_trust([&public]), Err(Refusal::NotSigned));
    let signed = package.clone().signed(&ours, public);
    assert_eq!(signed.check_trust([&other, &public]), Ok(public));
    assert!(matches!(signed.check_trust([&other]), Err(Refusal::UnknownKey { key }) if key == public.to_string()));
    assert!(matches!(signed.check_trust([]), Err(Refusal::UnknownKey { .. })));
    // The name of a trusted key under somebody else's signature.
    let forged = package.clone().signed(&theirs, public);
    assert!(matches!(forged.check_trust([&public]), Err(Refusal::BadSignature { .. })));
    // It travels as it is, and whoever changes it breaks its signature.
    let text = signed.to_text();
    let again = Package::parse(text.as_bytes()).unwrap();
    assert_eq!((again.check_trust([&public]), again.digest()), (Ok(public), package.digest()));
    let altered = text.replacen("Each change", "Some change", 1);
    assert!(matches!(
        Package::parse(altered.as_bytes()).unwrap().check_trust([&public]),
        Err(Refusal::BadSignature { .. })
    ));
    // What moves from manifest to object is another package.
    let (head, tail) = manifest.split_at(manifest.len() - 1);
    let moved = Package::new(head.to_owned(), [tail.as_bytes(), &bytes].concat()).unwrap();
    assert_ne!(moved.digest(), package.digest());
}

#[test]
fn what_is_no_package_is_refused_by_its_form() {
    let (manifest, bytes) = sample("tcp-states");
    let text = Package::new(manifest, bytes).unwrap().to_text();
    for (from, to) in [
        ("probeops-observation-1", "probeops-observation-2"),
        ("\"object\":\"", "\"object\":\"*"),
        ("{\"format\"", "{\"key\":\"ed25519:AAAA\",\"format\""),
        ("{\"format\"", "{\"path\":\"/etc\",\"format\""),
    ] {
        let refused = Package::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(refused, Refusal::Shape(_)), "{to}: {refused}");
    }
    for cut in [0, 1, text.len() / 2, text.len() - 1] {
        assert!(matches!(Package::parse(&text.as_bytes()[..cut]), Err(Refusal::Shape(_))));
    }
    let long = [text.as_bytes(), &vec![b' '; ebpf_package::PACKAGE_BYTES]].concat();
    assert!(matches!(Package::parse(&long), Err(Refusal::TooMuch { .. })));
}
