//! The hash of the Merkle leaf of a masked record, and the root over leaves, as `cdc_masker.leaves` and `cdc_masker.merkle`
//! define them.
//!
//! What always holds: it is computed from what is handed out to be published, and from nothing else.

use sha2::{Digest, Sha256};

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];
const FATE: &[u8] = b"masked";

/// The hash, of 32 bytes. A record that is masked has neither a reason nor a place.
pub fn hash(
    offset: i64,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut head = Vec::with_capacity(128);
    head.extend_from_slice(LEAF);
    for number in [offset, timestamp, length(key), length(value)] {
        head.extend_from_slice(&number.to_be_bytes());
    }
    head.extend_from_slice(key.unwrap_or(b""));
    hash.update(&head);
    hash.update(value.unwrap_or(b""));
    let mut tail = head;
    tail.clear();
    tail.extend_from_slice(&length(Some(FATE)).to_be_bytes());
    tail.extend_from_slice(FATE);
    tail.extend_from_slice(&length(None).to_be_bytes());
    tail.extend_from_slice(&length(None).to_be_bytes());
    for (name, content) in headers {
        tail.extend_from_slice(&length(Some(name)).to_be_bytes());
        tail.extend_from_slice(&length(*content).to_be_bytes());
        tail.extend_from_slice(name);
        tail.extend_from_slice(content.unwrap_or(b""));
    }
    hash.update(&tail);
    hash.finalize().into()
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// The root over the hashes of leaves, after RFC 6962: a last node without a sibling stands a level higher as it is.
pub fn root(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        let pairs = level.chunks(2).map(|pair| match pair {
            [left, right] => Sha256::new().chain_update(NODE).chain_update(left).chain_update(right).finalize().into(),
            others => others.first().copied().unwrap_or_default(),
        });
        level = pairs.collect();
    }
    level.first().copied().unwrap_or_else(|| Sha256::new().finalize().into())
}
