//! The catalogue: one file for a cause, with what it is, how it is proved, and what mends it.
//!
//! To add one: write `<hop>/<code>.rs`, name it here in the order of the path, and add `tests/scenarios/<code>.toml`.

mod bond;
mod bridge;
mod control;
mod guest;
mod host;
mod l2;
mod nic;
mod port;
mod service;
mod tap;
mod uplink;
mod wire;

use crate::check::Definition;

/// All causes, in the order of the path from the instance to the wire; of equal explanations the earlier one is named first.
pub(crate) static ALL: &[Definition] = &[
    guest::silent::CAUSE,
    tap::missing::CAUSE,
    tap::not_in_bridge::CAUSE,
    tap::wrong_bridge::CAUSE,
    tap::admin_down::CAUSE,
    tap::no_reader::CAUSE,
    tap::queue_stalled::CAUSE,
    port::stp_blocked::CAUSE,
    port::vlan_filter_missing::CAUSE,
    port::learning_or_flood_off::CAUSE,
    port::ebtables_drop::CAUSE,
    port::spoof_filter_mismatch::CAUSE,
    port::bridge_loop::CAUSE,
    bridge::missing::CAUSE,
    bridge::admin_down::CAUSE,
    bridge::fdb_wrong_port::CAUSE,
    bridge::mac_changed::CAUSE,
    uplink::not_in_bridge::CAUSE,
    uplink::in_wrong_bridge::CAUSE,
    uplink::device_missing::CAUSE,
    uplink::vlan_id_mismatch::CAUSE,
    uplink::admin_down::CAUSE,
    uplink::no_carrier::CAUSE,
    uplink::mtu_mismatch::CAUSE,
    bond::no_active_slave::CAUSE,
    nic::errors::CAUSE,
    nic::lro_on::CAUSE,
    nic::qdisc_drop::CAUSE,
    l2::gateway_duplicate_ip::CAUSE,
    l2::duplicate_instance_ip::CAUSE,
    l2::duplicate_instance_mac::CAUSE,
    l2::proxy_arp_hijack::CAUSE,
    wire::switch_silent::CAUSE,
    wire::vlan_not_trunked::CAUSE,
    wire::network_host_down::CAUSE,
    service::dhcp_reply_lost::CAUSE,
    service::rogue_dhcp_server::CAUSE,
    service::metadata_unreachable::CAUSE,
    host::guests_stalled::CAUSE,
    host::known_bad_kernel::CAUSE,
    host::conntrack_full::CAUSE,
    host::neighbour_overflow::CAUSE,
    host::softnet_overflow::CAUSE,
    control::inventory_disagrees::CAUSE,
];

/// Causes that are told by silence alone: they step back where anything else explains the same instances.
pub(crate) static BY_SILENCE: &[&str] = &[
    guest::silent::CAUSE.explanation.code,
    wire::switch_silent::CAUSE.explanation.code,
    wire::vlan_not_trunked::CAUSE.explanation.code,
    wire::network_host_down::CAUSE.explanation.code,
];

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_its_own_and_is_explained() {
        let codes: HashSet<_> = ALL.iter().map(|cause| cause.explanation.code).collect();
        assert_eq!(codes.len(), ALL.len());
        for cause in ALL {
            let told = &cause.explanation;
            for text in [told.what, told.proof, told.fix, told.reboot, told.reference] {
                assert!(text.len() > 10, "{}: {text:?}", told.code);
            }
        }
    }
}
