//! How many requests one sender may make in a second.
//!
//! A sender is an address, or of IPv6 the network of 64 bits that it can choose addresses from. Counts are of whole seconds and start anew
//! with each: a sender may make its requests of two seconds at the turn of one to the other, and no count outlives its second.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;

/// Requests of this second, by sender.
pub struct Pace {
    second: Mutex<Second>,
}

struct Second {
    began: Instant,
    requests: HashMap<IpAddr, u32>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { second: Mutex::new(Second { began: Instant::now(), requests: HashMap::new() }) }
    }
}

impl Pace {
    /// Counts a request, and whether its sender has made no more than `max` in this second.
    pub fn admits(&self, sender: IpAddr, max: u32, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(second.began) >= Duration::from_secs(1) {
            second.began = now;
            second.requests.clear();
        }
        let sender = network(sender);
        if second.requests.len() >= limits::SENDERS_COUNTED_MAX && !second.requests.contains_key(&sender) {
            // So many at once are bounded by the connections there are.
            return true;
        }
        let made = second.requests.entry(sender).or_default();
        *made = made.saturating_add(1);
        *made <= max
    }
}

/// What of an address tells senders apart.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_sender_has_its_own_count_in_each_second() {
        let (pace, now) = (Pace::default(), Instant::now());
        let made = |sender: &str, now| (0..5).filter(|_| pace.admits(address(sender), 3, now)).count();
        assert_eq!((made("192.0.2.1", now), made("192.0.2.2", now), made("192.0.2.1", now)), (3, 3, 0));
        assert_eq!(made("::ffff:192.0.2.1", now), 0, "the same sender over IPv6");
        assert_eq!((made("2001:db8::1", now), made("2001:db8::ffff", now), made("2001:db8:0:1::1", now)), (3, 0, 3));
        assert_eq!(made("192.0.2.1", now + Duration::from_secs(1)), 3);
    }
}
