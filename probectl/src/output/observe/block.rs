//! Requests to block devices as rows.

use shared_protocol::report::{BlockRequests, BlockSeen, Latencies};

use super::{Shown, latencies};
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for BlockSeen {
    fn summary(&self) -> String {
        latencies::summary(self.requests, "requests to block devices", self.latencies.as_ref())
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let mut numbers = vec![("block_requests", self.requests.into()), ("block_bytes", self.bytes.into())];
        if let Some(latencies) = &self.latencies {
            numbers.push(("block_avg_us", Cell::Micros(latencies.avg_us)));
            numbers.push(("block_max_us", Cell::Micros(latencies.max_us)));
        }
        numbers
    }

    fn details(&self) -> Details {
        Details {
            columns: &["device", "kind", "from_us", "below_us", "count"],
            rows: rows(self, latencies::rows),
        }
    }

    fn table(&self) -> Details {
        Details {
            columns: &["device", "kind", "from_us", "below_us", "count", "share"],
            rows: rows(self, latencies::shown),
        }
    }
}

/// The histogram of each device and kind of request, below one another.
fn rows(seen: &BlockSeen, of_one: fn(&Latencies) -> Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let devices = seen.devices.iter();
    devices
        .flat_map(|one| one.latencies.iter().flat_map(of_one).map(|row| named(one, row)))
        .collect()
}

fn named(one: &BlockRequests, row: Vec<Cell>) -> Vec<Cell> {
    [one.device.as_str().into(), one.kind.as_str().into()].into_iter().chain(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::table;

    #[test]
    fn each_kind_of_request_has_a_histogram_of_its_own() {
        let one = |kind: &str, slots: &[u64]| BlockRequests {
            device: "vda".to_owned(),
            kind: kind.to_owned(),
            requests: slots.iter().sum(),
            bytes: 0,
            latencies: Some(Latencies {
                avg_us: 9,
                max_us: 31,
                slots: slots.to_vec(),
            }),
        };
        let seen = BlockSeen {
            devices: vec![one("read", &[0, 0, 0, 8, 2]), one("flush", &[0, 0, 0, 0, 1])],
            ..BlockSeen::default()
        };
        let told = seen.table();
        insta::assert_snapshot!(table(told.columns, &told.rows).join("\n"), @r"
        DEVICE  KIND       FROM     BELOW  COUNT  SHARE
        vda     read   0.008 ms  0.016 ms      8  ########################################
        vda     read   0.016 ms  0.032 ms      2  ##########
        vda     flush  0.016 ms  0.032 ms      1  ########################################
        ");
    }
}
