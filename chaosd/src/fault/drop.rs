//! `drop`: packets are lost.

use chaosd_ebpf::{Fault, Kind, PER_SEGMENT};

use crate::{
    bpf::Steering,
    profile::{Drop, Loss},
};

use super::PacketFault;

impl PacketFault for Drop {
    fn name(&self) -> &'static str {
        "drop"
    }

    fn what(&self) -> String {
        match &self.model {
            Loss::Rate(rate) => format!("drops {rate} of packets"),
            Loss::Every(n) => format!("drops every {n}th packet"),
            Loss::GilbertElliott(g) => format!(
                "drops packets in bursts (Gilbert-Elliott: p {}, r {}, loss {} good, {} bad)",
                g.p, g.r, g.good, g.bad
            ),
        }
    }

    fn mechanism(&self) -> String {
        let place = if self.steering() == Steering::Never {
            "tcx, in place, whole buffers"
        } else {
            "tcx; TCP and super-packets one wire segment at a time in the detour"
        };
        format!("{place}; silent to the local sender")
    }

    fn steering(&self) -> Steering {
        // Everything is lost: nothing is to be told apart within a super-packet.
        let all = matches!(&self.model, Loss::Rate(rate) if rate.get() >= 100.0);
        if self.whole_skb || all {
            Steering::Never
        } else {
            Steering::Segments
        }
    }

    fn program(&self, fault: &mut Fault) {
        if !self.whole_skb {
            fault.flags |= PER_SEGMENT;
        }
        match &self.model {
            Loss::Rate(rate) => {
                fault.kind = Kind::Drop as u32;
                fault.rate = rate.fixed_point();
            }
            Loss::Every(n) => {
                fault.kind = Kind::DropEvery as u32;
                fault.count = n.get();
            }
            Loss::GilbertElliott(g) => {
                fault.kind = Kind::DropGilbert as u32;
                fault.to_bad = g.p.fixed_point();
                fault.to_good = g.r.fixed_point();
                fault.rate = g.good.fixed_point();
                fault.bad_rate = g.bad.fixed_point();
            }
        }
    }
}
