use proptest::prelude::*;
use shared_protocol::spec::ProbeSpec;
use test_fuzz::{Reading as Outcome, Target};

use super::*;

const ID: u16 = 0x1234;

fn question() -> Question {
    let ProbeSpec::Dns(spec) = ProbeSpec::parse(r#"{"probe":"dns","name":"a.test","type":"A"}"#).unwrap() else {
        panic!("another probe")
    };
    Question::new(&spec).unwrap()
}

/// A response under `ID` with these counts, the question repeated and records after it.
fn response(flags: u16, counts: [u16; 3], records: &[u8]) -> Vec<u8> {
    let mut message = [ID, flags, 1, counts[0], counts[1], counts[2]].map(u16::to_be_bytes).concat();
    message.extend(b"\x01a\x04test\x00\x00\x01\x00\x01");
    message.extend(records);
    message
}

/// A record of the name in the question.
fn record(code: u16, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend(code.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 60]);
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn take(message: &[u8]) -> Reading {
    read(message, &question(), ID, WhenCut::AskAgain)
}

#[track_caller]
fn answer(message: &[u8]) -> Message {
    let reading = take(message);
    let Reading::Answer(message) = reading else { panic!("{reading:?}") };
    *message
}

#[test]
fn an_answer_is_read_with_its_flags_records_and_counts() {
    let alias = record(5, b"\x01b\xc0\x0e");
    let address = record(1, &[127, 0, 0, 9]);
    let soa = record(6, &[&b"\xc0\x0c\x04root\xc0\x0c"[..], &[0, 0, 0, 7], &[0; 16]].concat());
    let message = answer(&response(0x85b0, [2, 1, 0], &[alias, address, soa].concat()));
    assert_eq!((message.rcode.as_str(), message.counts, message.soa_serial), ("NOERROR", (2, 1, 0), Some(7)));
    let DnsFlags { aa, tc, rd, ra, ad, cd } = message.flags;
    assert_eq!((aa, tc, rd, ra, ad, cd), (true, false, true, true, true, true));
    let [answers, authorities, additionals] = &message.sections;
    let lines: Vec<String> = answers
        .iter()
        .chain(authorities)
        .map(|told| format!("{} {} {} {} {}", told.name, told.ttl, told.class, told.r#type, told.rdata))
        .collect();
    assert_eq!(
        lines,
        [
            "a.test 60 IN CNAME b.test.",
            "a.test 60 IN A 127.0.0.9",
            "a.test 60 IN SOA a.test. root.a.test. 7 0 0 0 0"
        ]
    );
    assert_eq!((additionals.len(), answers[1].wire.as_deref()), (0, Some("fwAACQ==")));
    assert_eq!(answers[0].wire.as_deref(), Some("AWIEdGVzdAA="), "the name is told whole");
}

#[test]
fn what_the_opt_record_says_is_read() {
    let mut opt = vec![0, 0, 41, 0x04, 0xd0, 1, 0, 0x80, 0];
    let options = [&b"\x00\x03\x00\x03ns1"[..], b"\x00\x0f\x00\x04\x00\x16no", b"\x00\x03\x00\x01x"].concat();
    opt.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    opt.extend(options);
    let message = answer(&response(0x8180, [0, 0, 1], &opt));
    assert_eq!(message.rcode, "BADVERS", "the upper bits of the response code stand in OPT");
    let edns = message.edns.unwrap();
    assert_eq!((edns.version, edns.udp_size, edns.r#do, edns.nsid.as_deref()), (0, 1_232, true, Some("ns1")));
    let [extended] = edns.ede.as_slice() else { panic!("{:?}", edns.ede) };
    assert_eq!((extended.code, extended.text.as_str()), (22, "no"));
    assert_eq!(identifier(&[0xff, 1]), "0xff01");
    assert_eq!(option(b"\x00\x03\x00\x05ns1"), None, "an option that is longer than the record");
}

#[test]
fn job_18_what_answers_another_question_is_foreign() {
    let right = response(0x8180, [0, 0, 0], b"");
    assert!(matches!(take(&right), Reading::Answer(_)));
    for (place, byte) in [(0, 0xff), (2, 0x01), (2, 0xa9), (13, b'b'), (21, 2), (23, 3)] {
        let mut other = right.clone();
        other[place] = byte;
        assert_eq!(take(&other), Reading::Foreign, "byte {place}");
    }
    let mut other_case = right;
    other_case[13] = b'A';
    assert!(matches!(take(&other_case), Reading::Answer(_)), "case does not count");
    for (code, reading) in [(0, Reading::Foreign), (3, Reading::Foreign)] {
        let without_question = [ID, 0x8180 | code, 0, 0, 0, 0].map(u16::to_be_bytes).concat();
        assert_eq!(take(&without_question), reading, "response code {code}");
    }
    let refused = [ID, 0x8185, 0, 0, 0, 0].map(u16::to_be_bytes).concat();
    assert_eq!(answer(&refused).rcode, "REFUSED");
}

#[test]
fn job_18_a_cut_answer_is_asked_for_again_where_there_is_more_to_be_had() {
    let cut = response(0x8380, [0, 0, 0], b"");
    assert_eq!(take(&cut), Reading::Truncated);
    assert!(matches!(read(&cut, &question(), ID, WhenCut::Take), Reading::Answer(_)));
}

#[test]
fn job_18_counts_that_lie_and_names_that_loop_are_malformed() {
    let one = record(1, &[127, 0, 0, 1]);
    assert_eq!(take(&response(0x8180, [u16::MAX, u16::MAX, u16::MAX], &one)), Reading::Malformed);
    assert_eq!(take(&response(0x8180, [2, 0, 0], &one)), Reading::Malformed);
    // A name that points at itself, one that points ahead, and two that point at each other.
    for name in [&[0xc0, 24][..], &[0xc0, 40], &[0xc0, 26, 0xc0, 24]] {
        let looping = [name, &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(take(&response(0x8180, [1, 0, 0], &looping)), Reading::Malformed, "{name:?}");
    }
    let mut long = one.clone();
    long[11] = 0xff;
    assert_eq!(take(&response(0x8180, [1, 0, 0], &long)), Reading::Malformed, "data longer than the message");
    for cut in 0..response(0x8180, [1, 0, 0], &one).len() {
        let whole = response(0x8180, [1, 0, 0], &one);
        assert!(!matches!(take(&whole[..cut]), Reading::Answer(_)), "{cut} bytes");
    }
}

#[test]
fn data_that_is_malformed_in_itself_is_told_as_it_came() {
    let odd = [
        record(1, &[127, 0, 0]),
        record(28, &[0; 3]),
        record(15, &[0]),
        record(999, b"\x07"),
        record(16, b""),
    ]
    .concat();
    let message = answer(&response(0x8180, [5, 0, 0], &odd));
    let told: Vec<&str> = message.sections[0].iter().map(|record| record.rdata.as_str()).collect();
    assert_eq!(told, ["\\# 3 7f0000", "\\# 3 000000", "\\# 1 00", "\\# 1 07", "\\# 0"]);
}

#[test]
fn text_is_quoted_and_cannot_reach_a_terminal_raw() {
    let message = answer(&response(0x8180, [1, 0, 0], &record(16, b"\x03a\"\x1b\x02\\\xff")));
    assert_eq!(message.sections[0][0].rdata, "\"a\\\"\\027\" \"\\\\\\255\"");
}

#[test]
fn job_06_an_answer_of_thousands_of_records_is_cut_and_says_so() {
    let records: Vec<u8> = (0_u16..4_000)
        .flat_map(|number| record(1, &[&[127, 1][..], &number.to_be_bytes()].concat()))
        .collect();
    let message = answer(&response(0x8180, [4_000, 0, 0], &records));
    assert_eq!((message.counts.0, message.completeness), (4_000, Completeness::Truncated));
    assert!((500..=RECORDS_MAX).contains(&message.sections[0].len()));
    let told: usize = message.sections[0].iter().map(|record| serde_json::to_string(record).unwrap().len()).sum();
    assert!(told < shared_protocol::limits::REPORT_BYTES, "{told} bytes");
}

#[test]
fn job_18_the_longest_message_there_is_stays_within_a_report() {
    // Each name is 255 bytes by a pointer to the longest name, and each text of it is escaped four for one.
    let mut records = vec![0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0];
    let longest = [[&[63][..], &[0xff; 63]].concat().repeat(3), vec![61], vec![0xff; 61], vec![0]].concat();
    records.extend(u16::try_from(longest.len()).unwrap().to_be_bytes());
    let at = u16::try_from(response(0, [0; 3], &records).len()).unwrap();
    records.extend(&longest);
    let mut count = 1;
    while records.len() < 65_000 {
        records.extend((0xc000 | at).to_be_bytes());
        records.extend([0, 5, 0, 1, 0, 0, 0, 0, 0, 2]);
        records.extend((0xc000 | at).to_be_bytes());
        count += 1;
    }
    let message = answer(&response(0x8180, [count, 0, 0], &records));
    assert_eq!(message.completeness, Completeness::Truncated);
    let told = serde_json::to_string(&message.sections[0]).unwrap();
    assert!(told.len() < shared_protocol::limits::REPORT_BYTES, "{} bytes", told.len());
}

proptest! {
    #[test]
    fn job_18_no_bytes_whatever_make_the_reader_fall(flags: u16, counts: [u16; 3], records in proptest::collection::vec(any::<u8>(), 0..600)) {
        let message = response(0x8000 | (flags & 0x07ff), counts, &records);
        let _ = read(&message, &question(), ID, WhenCut::Take);
        let _ = read(&records, &question(), ID, WhenCut::Take);
    }
}

#[test]
fn job_18_fuzz_dns_answer() {
    let target = Target::new("dns_answer", include_str!("../../../corpus/dns.txt"));
    let question = question();
    target.survives(|message| {
        let Reading::Answer(answer) = read(message, &question, ID, WhenCut::Take) else {
            return Outcome::Refused;
        };
        // Names are told whole, however short the pointer to them: 255 bytes become at most four times as many characters.
        let records = answer.sections.iter().map(Vec::len).sum::<usize>();
        assert!(records <= RECORDS_MAX && records <= message.len() / 11);
        let text: usize = answer.sections.iter().flatten().map(|told| told.name.len() + told.rdata.len()).sum();
        assert!(text <= RECORD_BYTES_MAX);
        Outcome::Taken
    });
}
