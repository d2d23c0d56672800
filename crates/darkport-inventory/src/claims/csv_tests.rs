//! As cliff's CSV formatter prints openstackclient's columns: every text quoted, a dictionary as Python writes it.

use proptest::prelude::*;

use crate::{ParsedClaims, parse_claims};

fn told(parsed: &ParsedClaims) -> Vec<String> {
    parsed.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn cliffs_csv() {
    let text = "\"ID\",\"Name\",\"Status\",\"Task State\",\"Power State\",\"Networks\",\"Host\"\r\n\
        \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001\",\"a \"\"quoted\"\", name\",\"ACTIVE\",,\"Running\",\"{'public': ['10.68.16.4', '2001:db8::4'], '10.0.0.1': []}\",\"virt1005\"\r\n\
        \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002\",\"two\nlines\",\"SHUTOFF\",\"None\",4,\"public=10.68.16.5; b=10.4.0.7\",\"virt1012\"\r\n";
    let parsed = parse_claims("list.csv", text.as_bytes());
    assert_eq!(told(&parsed), [""; 0]);
    let claims: Vec<String> = parsed.claims.iter().map(|claim| serde_json::to_string(claim).unwrap()).collect();
    insta::assert_snapshot!(claims.join("\n"), @r#"
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001","name":"a \"quoted\", name","instance_name":null,"host":null,"hypervisor_hostname":"virt1005","asked_host":null,"status":"ACTIVE","power_state":"Running","task_state":null,"addresses":["10.68.16.4","2001:db8::4"],"place":"list.csv:2"}
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002","name":"two\nlines","instance_name":null,"host":null,"hypervisor_hostname":"virt1012","asked_host":null,"status":"SHUTOFF","power_state":"Shutdown","task_state":null,"addresses":["10.68.16.5","10.4.0.7"],"place":"list.csv:3"}
    "#);
}

#[test]
fn bad_rows_are_told_and_the_rest_goes_on() {
    let text = "ID,Name,Status\n\
        6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001,a,ACTIVE\n\
        6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002,b\n\
        x,c,ACTIVE\n\
        \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0003\"z,d,ACTIVE\n\
        \"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0004,e,ACTIVE\n\
        6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0005,f,ACTIVE\n\n";
    let parsed = parse_claims("list.csv", text.as_bytes());
    let names: Vec<_> = parsed.claims.iter().filter_map(|claim| claim.name.as_deref()).collect();
    assert_eq!(names, ["a", "c", "f"]);
    insta::assert_snapshot!(told(&parsed).join("\n"), @r#"
    list.csv:3: found 2 fields, expected 3, as many as there are columns
    list.csv:4: found x, expected a UUID
    list.csv:5: found z,d,ACTIVE, expected a comma or the end of the line after a closing quote
    list.csv:6: found "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0004,e,ACTIVE, expected a closing quote
    "#);
}

#[test]
fn something_else_is_told_as_such() {
    let parsed = parse_claims("notes.txt", b"\n\nERROR (Unauthorized): The request you have made requires authentication.\n");
    insta::assert_snapshot!(told(&parsed).join("\n"), @r"notes.txt:3: found ERROR (Unauthorized): The request you have made requires authen…, expected what `nova list`, `nova show`, `openstack server list -f json|csv|table` or `openstack server show` print");
}

proptest! {
    #[test]
    fn what_is_written_is_read(rows in proptest::collection::vec(("[^\u{0}-\u{20}]([^\u{0}\r]{0,30}[^\u{0}-\u{20}])?", any::<[u8; 4]>()), 0..8)) {
        let rows: Vec<(String, [u8; 4])> = rows.into_iter().map(|(name, ip)| (name.trim().to_owned(), ip)).collect();
        let line = |(at, (name, [a, b, c, d])): (usize, &(String, [u8; 4]))| {
            format!("\"{}\",\"6a9f0c1e-0d6b-4a4e-9a27-{at:012x}\",\"{{'n': ['{a}.{b}.{c}.{d}']}}\"", name.replace('"', "\"\""))
        };
        let lines: Vec<String> = std::iter::once("\"Name\",\"ID\",\"Networks\"".to_owned()).chain(rows.iter().enumerate().map(line)).collect();
        let text = lines.join("\r\n");
        let parsed = parse_claims("l", text.as_bytes());
        prop_assert_eq!(told(&parsed), Vec::<String>::new());
        prop_assert_eq!(parsed.claims.len(), rows.len());
        for (claim, (name, ip)) in parsed.claims.iter().zip(&rows) {
            prop_assert_eq!(claim.name.as_ref(), Some(name).filter(|name| !name.is_empty()));
            prop_assert_eq!(&claim.addresses, &[std::net::IpAddr::from(*ip)]);
        }
    }

    #[test]
    fn no_text_panics(text in "[\",\r\na-z]{0,60}") {
        let parsed = parse_claims("x", format!("ID,Name\n{text}").as_bytes());
        prop_assert!(parsed.errors.len() <= 101);
    }
}
