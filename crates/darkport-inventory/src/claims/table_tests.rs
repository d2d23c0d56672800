//! The tables here were drawn by cliff 4 and prettytable 3 (openstack) and after novaclient 2.17's, with invented instances.

use proptest::prelude::*;

use crate::{ParsedClaims, parse_claims};

const WRAPPED: &str = "\
+-----------+-----------+---------+------------+-------------+-----------+------------+-------------------+-----------+------------+
| ID        | Name      | Status  | Task State | Power State | Networks  | Image Name | Availability Zone | Host      | Properties |
+-----------+-----------+---------+------------+-------------+-----------+------------+-------------------+-----------+------------+
| 6a9f0c1e- | tools-web | ACTIVE  | None       | Running     | public=10 | cirros     | nova              | virt1005. |            |
| 0d6b-     | proxy 01  |         |            |             | .68.16.4, |            |                   | eqiad.wmn |            |
| 4a4e-     |           |         |            |             | 208.80.15 |            |                   | et        |            |
| 9a27-     |           |         |            |             | 5.130;    |            |                   |           |            |
| 2f7f4a1c0 |           |         |            |             | lab-net-  |            |                   |           |            |
| 001       |           |         |            |             | 2=10.4.0. |            |                   |           |            |
|           |           |         |            |             | 17        |            |                   |           |            |
| 6a9f0c1e- | データベ  | SHUTOFF | powering-  | Shutdown    | public=20 | cirros     | nova              | virt1012. | a='b'      |
| 0d6b-     | ース      |         | off        |             | 01:db8:0: |            |                   | eqiad.wmn |            |
| 4a4e-     |           |         |            |             | 1:f816:3e |            |                   | et        |            |
| 9a27-     |           |         |            |             | ff:fe00:2 |            |                   |           |            |
| 2f7f4a1c0 |           |         |            |             |           |            |                   |           |            |
| 002       |           |         |            |             |           |            |                   |           |            |
+-----------+-----------+---------+------------+-------------+-----------+------------+-------------------+-----------+------------+
";

const WIDE: &str = "\
+--------------------------------------+--------------------+---------+--------------+-------------+--------------------------------------------------------+----------------------+
| ID                                   | Name               | Status  | Task State   | Power State | Networks                                               | Host                 |
+--------------------------------------+--------------------+---------+--------------+-------------+--------------------------------------------------------+----------------------+
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | tools-web proxy 01 | ACTIVE  | None         | Running     | public=10.68.16.4, 208.80.155.130; lab-net-2=10.4.0.17 | virt1005.eqiad.wmnet |
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002 | データベース       | SHUTOFF | powering-off | Shutdown    | public=2001:db8:0:1:f816:3eff:fe00:2                   | virt1012.eqiad.wmnet |
+--------------------------------------+--------------------+---------+--------------+-------------+--------------------------------------------------------+----------------------+
";

const NOVA: &str = "\
root@labcontrol:~# nova list --all-tenants --host virt1012
+--------------------------------------+-----------+--------------+--------+------------+-------------+------------------------------------+
| ID                                   | Name      | Tenant ID    | Status | Task State | Power State | Networks                           |
+--------------------------------------+-----------+--------------+--------+------------+-------------+------------------------------------+
| 6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0003 | bots|irc  | bots         | ACTIVE | -          | Running     | public=10.68.16.9, 208.80.155.200  |
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0004 | None      | None         | ERROR  | suspending | NOSTATE     |                                    |
+--------------------------------------+-----------+--------------+--------+------------+-------------+------------------------------------+
root@labcontrol:~#
";

const SHOWN: &str = "\
+----------------------------+-----------------------------+
| Field                      | Value                       |
+----------------------------+-----------------------------+
| OS-EXT-SRV-ATTR:host       | virt1012                    |
| OS-EXT-SRV-                | virt1005.eqiad.wmnet        |
| ATTR:hypervisor_hostname   |                             |
| OS-EXT-SRV-                | instance-0000002a           |
| ATTR:instance_name         |                             |
| OS-EXT-STS:power_state     | Running                     |
| OS-EXT-STS:task_state      | None                        |
| addresses                  | public=10.68.16.4,          |
|                            | 208.80.155.130              |
| id                         | 6a9f0c1e-0d6b-4a4e-9a27-    |
|                            | 2f7f4a1c0001                |
| name                       | tools-web proxy 01          |
| status                     | ACTIVE                      |
+----------------------------+-----------------------------+
+--------------------------------------+--------------------------------------+
| Property                             | Value                                |
+--------------------------------------+--------------------------------------+
| OS-EXT-SRV-ATTR:host                 | virt1012                             |
| OS-EXT-SRV-ATTR:hypervisor_hostname  | virt1012.eqiad.wmnet                 |
| OS-EXT-SRV-ATTR:instance_name        | instance-0000002b                    |
| OS-EXT-STS:power_state               | 4                                    |
| OS-EXT-STS:task_state                | -                                    |
| OS-EXT-STS:vm_state                  | stopped                              |
| hostId                               | 0f3a                                 |
| id                                   | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0005 |
| name                                 | bastion                              |
| public network                       | 10.68.16.5, 208.80.155.129           |
| status                               | SHUTOFF                              |
+--------------------------------------+--------------------------------------+
";

fn told(parsed: &ParsedClaims) -> Vec<String> {
    parsed.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_wrapped_table_says_what_the_unwrapped_says() {
    let (wrapped, wide) = (parse_claims("l", WRAPPED.as_bytes()), parse_claims("l", WIDE.as_bytes()));
    assert_eq!((told(&wrapped), told(&wide)), (vec![], vec![]));
    assert_eq!(wide.claims.len(), 2);
    for (mut a, b) in wrapped.claims.into_iter().zip(wide.claims) {
        a.place.clone_from(&b.place);
        assert_eq!(a, b);
    }
}

#[test]
fn the_long_lists_host_is_the_hypervisors_name() {
    let claim = serde_json::to_string(&parse_claims("long.txt", WIDE.as_bytes()).claims[0]).unwrap();
    insta::assert_snapshot!(claim, @r#"{"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001","name":"tools-web proxy 01","instance_name":null,"host":null,"hypervisor_hostname":"virt1005.eqiad.wmnet","asked_host":null,"status":"ACTIVE","power_state":"Running","task_state":null,"addresses":["10.68.16.4","208.80.155.130","10.4.0.17"],"place":"long.txt:4"}"#);
}

#[test]
fn novas_list_with_a_prompt_around_it() {
    let parsed = parse_claims("nova.txt", NOVA.as_bytes());
    assert_eq!(told(&parsed), [""; 0]);
    let [bots, none] = parsed.claims.as_slice() else { panic!("{parsed:?}") };
    assert_eq!(bots.uuid.as_deref(), Some("6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0003"));
    assert_eq!((bots.name.as_deref(), bots.place.as_str()), (Some("bots|irc"), "nova.txt:5"));
    assert_eq!((bots.task_state.as_deref(), bots.addresses.len()), (None, 2));
    assert_eq!(
        (none.name.as_deref(), none.status.as_deref(), none.task_state.as_deref()),
        (Some("None"), Some("ERROR"), Some("suspending"))
    );
}

#[test]
fn several_shows_in_one_file() {
    let parsed = parse_claims("show.txt", SHOWN.as_bytes());
    assert_eq!(told(&parsed), [""; 0]);
    let claims: Vec<String> = parsed.claims.iter().map(|claim| serde_json::to_string(claim).unwrap()).collect();
    insta::assert_snapshot!(claims.join("\n"), @r#"
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001","name":"tools-web proxy 01","instance_name":"instance-0000002a","host":"virt1012","hypervisor_hostname":"virt1005.eqiad.wmnet","asked_host":null,"status":"ACTIVE","power_state":"Running","task_state":null,"addresses":["10.68.16.4","208.80.155.130"],"place":"show.txt:13"}
    {"uuid":"6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0005","name":"bastion","instance_name":"instance-0000002b","host":"virt1012","hypervisor_hostname":"virt1012.eqiad.wmnet","asked_host":null,"status":"SHUTOFF","power_state":"Shutdown","task_state":null,"addresses":["10.68.16.5","208.80.155.129"],"place":"show.txt:28"}
    "#);
}

#[test]
fn fields_that_the_user_picked() {
    // nova list --fields name,OS-EXT-SRV-ATTR:host,OS-EXT-SRV-ATTR:instance_name
    let text = "\
+--------------------------------------+------+-----------------------+--------------------------------+
| ID                                   | Name | OS-EXT-SRV-ATTR: Host | OS-EXT-SRV-ATTR: Instance Name |
+--------------------------------------+------+-----------------------+--------------------------------+
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | web  | virt1012              | instance-0000002a              |
+--------------------------------------+------+-----------------------+--------------------------------+
";
    let parsed = parse_claims("l", text.replace('\n', "\r\n").as_bytes());
    assert_eq!(told(&parsed), [""; 0]);
    assert_eq!(parsed.claims[0].host.as_deref(), Some("virt1012"));
    assert_eq!(parsed.claims[0].instance_name.as_deref(), Some("instance-0000002a"));
    assert_eq!(parsed.claims[0].hypervisor_hostname, None);
}

#[test]
fn rows_that_a_hand_has_changed_need_not_meet_the_border() {
    let text = "
    +--------------------------------------+------+---------+-----------------+
    | ID                                   | Name | Status  | Networks        |
    +--------------------------------------+------+---------+-----------------+
    | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | web-with-a-long-name | ACTIVE | public=10.68.16.10 |
    | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002 | db | SHUTOFF | public=10.68.16.11 |
    +--------------------------------------+------+---------+-----------------+
";
    let parsed = parse_claims("l", text.as_bytes());
    let rows: Vec<_> = parsed.claims.iter().map(|claim| (claim.name.as_deref(), claim.status.as_deref(), claim.addresses.len())).collect();
    assert_eq!((rows, told(&parsed)), (vec![(Some("web-with-a-long-name"), Some("ACTIVE"), 1), (Some("db"), Some("SHUTOFF"), 1)], vec![]));
}

#[test]
fn an_empty_list_is_no_error() {
    let text = "+----+------+\n| ID | Name |\n+----+------+\n+----+------+\n";
    assert_eq!(parse_claims("l", text.as_bytes()), ParsedClaims::default());
}

#[test]
fn bad_rows_are_told_and_the_rest_goes_on() {
    let text = "\
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0000 | torn |
+--------------------------------------+------+--------+-------------+
| ID                                   | Name | Status | Networks    |
+--------------------------------------+------+--------+-------------+
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | web  | ACTIVE | n=10.0.0.1  |
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002 | cut
Traceback (most recent call last):
| d5c854f9-d3e5...                     | doc  | ACTIVE | n=10.0.0.2  |
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0003 | ip   | ACTIVE | n=[IP_V4]   |
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0004 | last | ACTIVE | n=10.0.0.4  |
";
    let parsed = parse_claims("list.txt", text.as_bytes());
    let names: Vec<_> = parsed.claims.iter().filter_map(|claim| claim.name.as_deref()).collect();
    assert_eq!(names, ["web", "doc", "ip", "last"]);
    insta::assert_snapshot!(told(&parsed).join("\n"), @r"
    list.txt:1: found | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0000 | torn |, expected a table's upper border (+----+) before its first row
    list.txt:6: found | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002 | cut, expected 4 cells between bars, as in the table's border
    list.txt:7: found Traceback (most recent call last):, expected a row (| … |) or the table's lower border
    list.txt:8: found d5c854f9-d3e5..., expected a UUID
    list.txt:9: found n=[IP_V4], expected addresses such as net=10.68.16.4, 10.68.16.5; net2=10.0.0.4
    list.txt:10: found the end of the file, expected the table's lower border: the list may be cut
    ");
}

#[test]
fn a_table_of_something_else_is_told_once() {
    let text = "+----+---------------------+\n| #  | Hypervisor hostname |\n+----+---------------------+\n| 1  | virt1012            |\n| 2  | virt1011            |\n+----+---------------------+\n";
    let parsed = parse_claims("h", text.as_bytes());
    assert_eq!(told(&parsed), ["h:2: found # | Hypervisor hostname, expected the columns ID or Name, or Property | Value"]);
}

#[test]
fn after_a_hundred_errors_it_is_not_a_list() {
    let mut text = String::from("+----+------+\n| ID | Name |\n+----+------+\n");
    text.push_str(&"| x\n".repeat(500));
    let parsed = parse_claims("l", text.as_bytes());
    assert_eq!(parsed.errors.len(), 101);
    assert!(parsed.errors[100].expected.ends_with("the rest was not read"), "{}", parsed.errors[100]);
}

/// Draws a table as prettytable does, every character being one column wide.
fn draw(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([titles[at].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let border: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).chain(["+\n".to_owned()]).collect();
    let line = |cells: Vec<&str>| -> String {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("| {cell}{} ", " ".repeat(width - cell.chars().count())));
        cells.chain(["|\n".to_owned()]).collect()
    };
    let body: String = rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
    format!("{border}{}{border}{body}{border}", line(titles.to_vec()))
}

proptest! {
    #[test]
    fn what_is_drawn_is_read(rows in proptest::collection::vec(("[!-~äöü€]([ -~äöü€]{0,20}[!-~äöü€])?", "[A-Z_]{1,10}", any::<[u8; 4]>()), 0..8)) {
        let drawn: Vec<Vec<String>> = rows.iter().enumerate().map(|(at, (name, status, ip))| {
            let [a, b, c, d] = ip;
            vec![format!("6a9f0c1e-0d6b-4a4e-9a27-{at:012x}"), name.clone(), status.clone(), format!("net={a}.{b}.{c}.{d}")]
        }).collect();
        let parsed = parse_claims("t", draw(&["ID", "Name", "Status", "Networks"], &drawn).as_bytes());
        prop_assert_eq!(told(&parsed), Vec::<String>::new());
        prop_assert_eq!(parsed.claims.len(), rows.len());
        for (at, (claim, (name, status, ip))) in parsed.claims.iter().zip(&rows).enumerate() {
            let id = format!("6a9f0c1e-0d6b-4a4e-9a27-{at:012x}");
            prop_assert_eq!(claim.uuid.as_ref(), Some(&id));
            prop_assert_eq!(claim.name.as_ref(), Some(name));
            prop_assert_eq!(claim.status.as_ref(), Some(status));
            prop_assert_eq!(&claim.addresses, &[std::net::IpAddr::from(*ip)]);
            prop_assert_eq!(&claim.place, &format!("t:{}", at + 4));
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, cut in 0usize..3000) {
        let _ = parse_claims("x", &bytes);
        for sample in [WRAPPED, WIDE, NOVA, SHOWN] {
            let mut broken = sample.as_bytes()[..cut.min(sample.len())].to_vec();
            broken.extend(&bytes);
            let parsed = parse_claims("x", &broken);
            prop_assert!(parsed.errors.len() <= 101);
        }
    }
}
