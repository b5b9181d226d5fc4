//! The extension structure of ICMP errors: RFC 4884, with MPLS label stacks (RFC 4950) and interfaces (RFC 5837).

use std::net::IpAddr;

use pnet_packet::util;

use crate::description::{Interface, MplsLabel, Node, Object, Role};

/// The structure that a node's errors carry; empty if they carry none.
pub(crate) fn of(node: &Node) -> Vec<u8> {
    let mut objects = Vec::new();
    if !node.mpls.is_empty() {
        push(&mut objects, 1, 1, &labels(&node.mpls), None);
    }
    if let Some(interface) = &node.interface {
        let (kind, data) = tell(interface);
        push(&mut objects, 2, kind, &data, None);
    }
    for Object {
        class,
        kind,
        data,
        claims_length,
    } in &node.objects
    {
        push(&mut objects, *class, *kind, data, *claims_length);
    }
    if objects.is_empty() {
        return objects;
    }
    // Version 2, reserved bits, checksum.
    let mut structure = vec![0x20, 0, 0, 0];
    structure.extend(objects);
    let sum = util::checksum(&structure, 1).to_be_bytes();
    if let Some(place) = structure.get_mut(2..4) {
        place.copy_from_slice(&sum);
    }
    structure
}

fn push(objects: &mut Vec<u8>, class: u8, kind: u8, data: &[u8], claimed: Option<u16>) {
    let length = claimed.unwrap_or_else(|| u16::try_from(data.len() + 4).unwrap_or(u16::MAX));
    objects.extend(length.to_be_bytes());
    objects.extend([class, kind]);
    objects.extend(data);
}

/// RFC 3032 section 2.1: label, traffic class, bottom of stack, time to live.
fn labels(stack: &[MplsLabel]) -> Vec<u8> {
    let last = stack.len().saturating_sub(1);
    let entry = |(number, label): (usize, &MplsLabel)| {
        let bottom = u32::from(number == last);
        let word = (label.label & 0xf_ffff) << 12 | u32::from(label.traffic_class & 7) << 9 | bottom << 8 | u32::from(label.ttl);
        word.to_be_bytes()
    };
    stack.iter().enumerate().flat_map(entry).collect()
}

/// RFC 5837 section 4: which parts are there stands in the type, and they follow in this order.
fn tell(interface: &Interface) -> (u8, Vec<u8>) {
    let mut kind = match interface.role {
        Role::Incoming => 0x00,
        Role::SubIp => 0x40,
        Role::Outgoing => 0x80,
        Role::NextHop => 0xc0,
    };
    let mut data = Vec::new();
    if let Some(index) = interface.index {
        kind |= 0x08;
        data.extend(index.to_be_bytes());
    }
    match interface.address {
        None => {}
        Some(IpAddr::V4(address)) => {
            kind |= 0x04;
            data.extend([0, 1, 0, 0]);
            data.extend(address.octets());
        }
        Some(IpAddr::V6(address)) => {
            kind |= 0x04;
            data.extend([0, 2, 0, 0]);
            data.extend(address.octets());
        }
    }
    if let Some(name) = &interface.name {
        kind |= 0x02;
        let mut told: Vec<u8> = name.bytes().take(63).collect();
        let length = (told.len() + 1).next_multiple_of(4);
        told.resize(length.saturating_sub(1), 0);
        data.push(u8::try_from(length).unwrap_or(u8::MAX));
        data.extend(told);
    }
    if let Some(mtu) = interface.mtu {
        kind |= 0x01;
        data.extend(mtu.to_be_bytes());
    }
    (kind, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        toml::from_str(&format!("name = \"r\"\n{text}")).unwrap()
    }

    #[test]
    fn a_label_stack_is_as_rfc_4950_shows_it() {
        let structure = of(&node("mpls = [{ label = 16, ttl = 3 }, { label = 100, traffic_class = 5, ttl = 1 }]"));
        assert_eq!(structure[..2], [0x20, 0]);
        assert_eq!(structure[4..], [0, 12, 1, 1, 0, 1, 0, 3, 0, 6, 0x4b, 1]);
        assert_eq!(util::checksum(&structure, 1_000), 0, "the sum with the checksum in its place");
    }

    #[test]
    fn an_interface_is_told_in_the_order_of_rfc_5837() {
        let structure = of(&node(
            r#"interface = { role = "outgoing", index = 7, address = "192.0.2.1", name = "eth0", mtu = 1500 }"#,
        ));
        let object = &structure[4..];
        assert_eq!(object[..4], [0, 28, 2, 0x8f]);
        assert_eq!(object[4..8], 7_u32.to_be_bytes());
        assert_eq!(object[8..16], [0, 1, 0, 0, 192, 0, 2, 1]);
        assert_eq!(&object[16..24], b"\x08eth0\0\0\0");
        assert_eq!(object[24..], 1_500_u32.to_be_bytes());
    }

    #[test]
    fn who_tells_nothing_has_no_structure() {
        assert_eq!(of(&node("")), Vec::<u8>::new());
    }
}
