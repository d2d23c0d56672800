//! As cliff's JSON formatter prints openstackclient's columns; newer clients give networks as an object, older as a text.

use proptest::prelude::*;

use crate::{ParsedClaims, parse_claims};

const LIST: &str = r#"[
  {
    "ID": "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001",
    "Name": "web",
    "Status": "ACTIVE",
    "Task State": null,
    "Power State": "Running",
    "Networks": {
      "public": [
        "10.68.16.4",
        "2001:db8::4"
      ]
    },
    "Host": "virt1005.eqiad.wmnet",
    "Properties": {}
  },
  {
    "ID": "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002",
    "Name": "db",
    "Status": "SHUTOFF",
    "Task State": "None",
    "Power State": 4,
    "Networks": "public=10.68.16.5",
    "OS-EXT-SRV-ATTR:host": "virt1012",
    "Host": "virt1012.eqiad.wmnet"
  }
]
"#;

fn names(parsed: &ParsedClaims) -> Vec<&str> {
    parsed.claims.iter().filter_map(|claim| claim.name.as_deref()).collect()
}

fn told(parsed: &ParsedClaims) -> Vec<String> {
    parsed.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn old_and_new_clients_lists() {
    let parsed = parse_claims("list.json", LIST.as_bytes());
    assert_eq!(told(&parsed), [""; 0]);
    let claims: Vec<String> = parsed.claims.iter().map(|claim| serde_json::to_string(claim).unwrap()).collect();
    insta::assert_snapshot!(claims.join("\n"), @r#"
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001","name":"web","instance_name":null,"host":null,"hypervisor_hostname":"virt1005.eqiad.wmnet","asked_host":null,"status":"ACTIVE","power_state":"Running","task_state":null,"addresses":["10.68.16.4","2001:db8::4"],"place":"list.json:2"}
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002","name":"db","instance_name":null,"host":"virt1012","hypervisor_hostname":"virt1012.eqiad.wmnet","asked_host":null,"status":"SHUTOFF","power_state":"Shutdown","task_state":null,"addresses":["10.68.16.5"],"place":"list.json:17"}
    "#);
}

#[test]
fn shows_one_after_another() {
    let show = |id: u32| {
        format!(
            r#"{{"OS-EXT-SRV-ATTR:host": "virt1012", "OS-EXT-SRV-ATTR:hypervisor_hostname": "virt1012.x", "OS-EXT-SRV-ATTR:instance_name": "instance-{id}",
            "OS-EXT-STS:power_state": "Running", "addresses": {{"public": [{{"addr": "10.68.16.{id}", "version": 4}}]}}, "id": "6a9f0c1e-0d6b-4a4e-9a27-00000000000{id}",
            "name": "i{id}", "status": "active"}}"#
        )
    };
    let parsed = parse_claims("s", format!("{}\n{}\n", show(1), show(2)).as_bytes());
    assert_eq!((names(&parsed), told(&parsed)), (vec!["i1", "i2"], vec![]));
    let second = &parsed.claims[1];
    assert_eq!((second.place.as_str(), second.status.as_deref(), second.addresses.len()), ("s:4", Some("ACTIVE"), 1));
}

#[test]
fn a_cut_list_keeps_what_it_has() {
    let cut = LIST.find("\"SHUTOFF\"").unwrap();
    let parsed = parse_claims("list.json", &LIST.as_bytes()[..cut]);
    assert_eq!(names(&parsed), ["web"]);
    insta::assert_snapshot!(told(&parsed).join("\n"), @"list.json:20:14: found the end of the file, expected the rest of the object: the list may be cut");
}

#[test]
fn one_bad_object_costs_no_other() {
    let text = "[\n{\"ID\": \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001\", \"Name\": \"a\"},\n{\"ID\": 7, \"Name\": \"b\"},\n{\"ID\" \"x\"},\n{\"Image\": \"x\"},\n3,\n{\"ID\": \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0003\", \"Name\": \"c\", \"Networks\": {\"n\": [\"10.0.0.256\"]}, \"Status\": []}\n]\n";
    let parsed = parse_claims("list.json", text.as_bytes());
    assert_eq!(names(&parsed), ["a", "b", "c"]);
    insta::assert_snapshot!(told(&parsed).join("\n"), @r#"
    list.json:3: found ID: 7, expected a UUID
    list.json:4:7: found "x"},, expected `:`
    list.json:5: found an object without ID and name, expected a server: {"ID": …, "Name": …}
    list.json:6:1: found 3,, expected an object: {"ID": …}
    list.json:7: found Networks: {"n":["10.0.0.256"]}, expected an IP address
    list.json:7: found Status: [], expected a text or a number
    "#);
}

#[test]
fn empty_lists() {
    assert_eq!(parse_claims("l", b"[]\n"), ParsedClaims::default());
    assert_eq!(told(&parse_claims("l", b" \n")).len(), 1, "nothing at all is no list: the client failed");
}

#[test]
fn a_tower_of_brackets_is_refused() {
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("{{\"a\":{}", "[".repeat(100_000))] {
        assert!(!parse_claims("l", text.as_bytes()).errors.is_empty());
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in proptest::collection::vec((".{0,30}", any::<[u8; 4]>()), 0..8)) {
        let rows: Vec<(String, [u8; 4])> = rows.into_iter().map(|(name, ip)| (name.trim().to_owned(), ip)).collect();
        let object = |(at, (name, ip)): (usize, &(String, [u8; 4]))| serde_json::json!({
            "ID": format!("6a9f0c1e-0d6b-4a4e-9a27-{at:012x}"), "Name": name, "Networks": {"net": [std::net::IpAddr::from(*ip)]},
        });
        let list: Vec<_> = rows.iter().enumerate().map(object).collect();
        let parsed = parse_claims("l", serde_json::to_string_pretty(&list).unwrap().as_bytes());
        prop_assert_eq!(told(&parsed), Vec::<String>::new());
        prop_assert_eq!(parsed.claims.len(), rows.len());
        for (claim, (name, ip)) in parsed.claims.iter().zip(&rows) {
            prop_assert_eq!(claim.name.as_ref(), Some(name).filter(|name| !name.is_empty()));
            prop_assert_eq!(&claim.addresses, &[std::net::IpAddr::from(*ip)]);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, cut in 0usize..800) {
        let mut broken = LIST.as_bytes()[..cut.min(LIST.len())].to_vec();
        broken.extend(bytes);
        prop_assert!(parse_claims("x", &broken).errors.len() <= 101);
    }
}
