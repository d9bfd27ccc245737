//! FF1 over integers of 32 or 64 bits: the permutation of `cdc_masker.methods.ff1` for radix 2 and an even length.
//!
//! What always holds: for every integer the same as the Python one. With so few bits one block is enough for each round, and
//! all blocks before the last depend on the tweak only, so that they are made once.

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes256, Block};

const ROUNDS: u8 = 10;
const BLOCK: usize = 16;

pub struct Permutation {
    cipher: Aes256,
    half: u32,
    before_last: [u8; BLOCK],
    last: [u8; BLOCK],
}

impl Permutation {
    /// `bits` is 32 or 64, `key` has 32 bytes; else `None`.
    pub fn new(key: &[u8], bits: u32, tweak: &[u8]) -> Option<Self> {
        if bits != 32 && bits != 64 {
            return None;
        }
        let cipher = Aes256::new_from_slice(key).ok()?;
        let half = bits / 2;
        let behind = half as usize / 8 + 1; // the round's number, and half of the integer
        let mut message = vec![1, 2, 1, 0, 0, 2, ROUNDS, half as u8];
        message.extend_from_slice(&bits.to_be_bytes());
        message.extend_from_slice(&u32::try_from(tweak.len()).ok()?.to_be_bytes());
        message.extend_from_slice(tweak);
        message.resize((message.len() + behind + BLOCK - 1) / BLOCK * BLOCK - behind, 0);
        let mut before_last = [0; BLOCK];
        let mut blocks = message.chunks_exact(BLOCK);
        for block in &mut blocks {
            before_last = encrypted(&cipher, xor(before_last, block));
        }
        let last = xor([0; BLOCK], blocks.remainder());
        Some(Permutation { cipher, half, before_last, last })
    }

    /// Of a number of as many bits.
    pub fn permute(&self, number: u64) -> u64 {
        let mask = (1u64 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..ROUNDS {
            let next = left.wrapping_add(self.summand(round, right)) & mask;
            left = right;
            right = next;
        }
        left << self.half | right
    }

    fn summand(&self, round: u8, half: u64) -> u64 {
        let tail = u128::from(round) << self.half | u128::from(half); // at the end of the last block
        let state = u128::from_be_bytes(self.before_last) ^ u128::from_be_bytes(self.last) ^ tail;
        (u128::from_be_bytes(encrypted(&self.cipher, state.to_be_bytes())) >> 64) as u64
    }
}

fn encrypted(cipher: &Aes256, block: [u8; BLOCK]) -> [u8; BLOCK] {
    let mut block = Block::from(block);
    cipher.encrypt_block(&mut block);
    block.into()
}

fn xor(mut one: [u8; BLOCK], other: &[u8]) -> [u8; BLOCK] {
    for (byte, with) in one.iter_mut().zip(other) {
        *byte ^= with;
    }
    one
}
