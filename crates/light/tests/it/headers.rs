//! Root headers and hand-overs.

use alloy_primitives::{B256, U256};
use anfs_crypto::bls;
use anfs_crypto::tags::vote_tag;
use anfs_crypto::votes::signing_bytes;
use anfs_light::{Light, SeatSets};
use anfs_primitives::{
    CertificateKind, DomainId, Epoch, NetworkId, RootCertificate, RootHeader, SeatGroup, View, VoteKind,
    VoteTarget,
};

use crate::scene::{QUORUM, Scene, certificate, elsewhere, groups, secret, signed, spec, target};
use crate::{Attack, Outcome, hold};

/// All seats but two: exactly two thirds of the stake.
const TWO_THIRDS: [(u32, &[u16]); 3] = [(1, &[0, 1]), (2, &[0]), (3, &[1])];

fn advance(scene: &Scene, header: RootHeader, certificate: &RootCertificate) -> Outcome {
    scene.light().advance(header.seal(), certificate)?;
    Ok(())
}

fn honest(scene: &Scene) -> Outcome {
    by(scene, |_| ())
}

/// The honest block with its certificate, one thing changed about the latter.
fn by(scene: &Scene, change: impl FnOnce(&mut RootCertificate)) -> Outcome {
    let mut all = certificate(&scene.header().seal(), &QUORUM);
    change(&mut all);
    advance(scene, scene.header(), &all)
}

/// A certificate of the honest quorum over another target.
fn over(scene: &Scene, change: impl FnOnce(&mut VoteTarget)) -> Outcome {
    let mut other = target(&scene.header().seal());
    change(&mut other);
    advance(scene, scene.header(), &signed(CertificateKind::Commit, other, &QUORUM))
}

/// Another header, under the honest one's certificate.
fn altered(scene: &Scene, change: impl FnOnce(&mut RootHeader)) -> Outcome {
    let mut header = scene.header();
    change(&mut header);
    advance(scene, header, &certificate(&scene.header().seal(), &QUORUM))
}

/// Another header, which a quorum has signed.
fn decided(scene: &Scene, change: impl FnOnce(&mut RootHeader)) -> Outcome {
    let mut header = scene.header();
    change(&mut header);
    let sealed = header.clone().seal();
    advance(scene, header, &certificate(&sealed, &QUORUM))
}

fn signers(scene: &Scene, seats: Vec<SeatGroup>) -> Outcome {
    by(scene, |all| all.signers = seats.try_into().expect("few"))
}

/// Root block 2, then what the closure does.
fn after_second(scene: &Scene, then: impl FnOnce(&mut Light) -> Outcome) -> Outcome {
    let mut light = scene.light();
    let second = scene.second().seal();
    light.advance(second.clone(), &certificate(&second, &QUORUM))?;
    assert_eq!(light.known(), second.reference(), "headers may be skipped");
    then(&mut light)
}

const CERTIFICATES: &[Attack] = &[
    Attack {
        name: "two thirds of the stake and no more",
        honest,
        forged: |scene| advance(scene, scene.header(), &certificate(&scene.header().seal(), &TWO_THIRDS)),
        words: "two thirds",
    },
    Attack {
        name: "one shard's seats alone",
        honest,
        forged: |scene| advance(scene, scene.header(), &certificate(&scene.header().seal(), &[(1, &[0, 1])])),
        words: "two thirds",
    },
    Attack {
        name: "prepares in place of commits",
        honest,
        forged: |scene| {
            let target = target(&scene.header().seal());
            advance(scene, scene.header(), &signed(CertificateKind::Prepare, target, &QUORUM))
        },
        words: "none of commits",
    },
    Attack {
        name: "prepares called commits",
        honest,
        forged: |scene| {
            let target = target(&scene.header().seal());
            let prepares = signed(CertificateKind::Prepare, target, &QUORUM);
            by(scene, |all| all.signature = prepares.signature)
        },
        words: "signature",
    },
    Attack {
        name: "commits of shards' blocks in place of the root's",
        honest,
        forged: |scene| {
            let bytes = signing_bytes(&target(&scene.header().seal()));
            let all = QUORUM.iter().flat_map(|(domain, seats)| seats.iter().map(|seat| (*domain, *seat)));
            let tag = vote_tag(VoteKind::Commit);
            let shares: Vec<_> = all.map(|(domain, seat)| secret(domain, seat).sign(tag, &bytes)).collect();
            by(scene, |all| all.signature = bls::aggregate(&shares).expect("there are shares"))
        },
        words: "signature",
    },
    Attack {
        name: "the certificate of another block",
        honest,
        forged: |scene| over(scene, |target| target.block = B256::repeat_byte(1)),
        words: "another block",
    },
    Attack {
        name: "the certificate of another network",
        honest,
        forged: |scene| over(scene, |target| target.network = NetworkId(8)),
        words: "another block, network",
    },
    Attack {
        name: "the certificate of another epoch",
        honest,
        forged: |scene| over(scene, |target| target.epoch = Epoch(1)),
        words: "another block, network, epoch",
    },
    Attack {
        name: "the certificate of a domain",
        honest,
        forged: |scene| over(scene, |target| target.domain = DomainId(1)),
        words: "or domain",
    },
    Attack {
        name: "a view before that of the block's making",
        honest: |scene| decided(scene, |header| header.view = View(2)),
        forged: |scene| {
            let made = RootHeader { view: View(2), ..scene.header() };
            let early = VoteTarget { view: View(1), ..target(&made.clone().seal()) };
            advance(scene, made, &signed(CertificateKind::Commit, early, &QUORUM))
        },
        words: "another block",
    },
    Attack {
        name: "a seat named that has not signed",
        honest,
        forged: |scene| {
            let few = certificate(&scene.header().seal(), &TWO_THIRDS);
            by(scene, |all| all.signature = few.signature)
        },
        words: "signature",
    },
    Attack {
        name: "seats that do not exist",
        honest,
        forged: |scene| signers(scene, groups(&[(1, &[0, 1, 2]), (2, &[0, 1]), (3, &[0, 1])])),
        words: "seats that do not exist",
    },
    Attack {
        name: "seats of a shard that does not exist",
        honest,
        forged: |scene| signers(scene, groups(&[(1, &[0, 1]), (2, &[0, 1]), (4, &[0, 1])])),
        words: "seats that do not exist",
    },
    Attack {
        name: "a group of seats twice",
        honest,
        forged: |scene| signers(scene, groups(&[(1, &[0, 1]), (1, &[0, 1]), (2, &[0, 1])])),
        words: "each once and in order",
    },
    Attack {
        name: "groups of seats in disorder",
        honest,
        forged: |scene| signers(scene, groups(&[(2, &[0, 1]), (1, &[0, 1]), (3, &[1])])),
        words: "each once and in order",
    },
    Attack {
        name: "a group without seats",
        honest,
        forged: |scene| signers(scene, groups(&[(1, &[0, 1]), (2, &[]), (3, &[0, 1])])),
        words: "seats that do not exist",
    },
    Attack {
        name: "the keys of others",
        honest,
        forged: |scene| {
            let target = target(&scene.header().seal());
            let strangers = [(11, 0), (11, 1), (12, 0), (12, 1), (13, 1)];
            let sign = |(domain, seat)| {
                anfs_crypto::root::sign_vote(&secret(domain, seat), CertificateKind::Commit, &target)
            };
            let shares: Vec<_> =
                strangers.into_iter().map(|seat| sign(seat).expect("a kind of the root")).collect();
            by(scene, |all| all.signature = bls::aggregate(&shares).expect("there are shares"))
        },
        words: "signature",
    },
];

const HEADERS: &[Attack] = &[
    Attack {
        name: "a header with another tip",
        honest,
        forged: |scene| {
            altered(scene, |header| {
                let mut tips = header.tips.to_vec();
                tips[1].hash = B256::repeat_byte(2);
                header.tips = tips.try_into().expect("few");
            })
        },
        words: "another block",
    },
    Attack {
        name: "a header with more coins",
        honest,
        forged: |scene| altered(scene, |header| header.supply.held += U256::from(1)),
        words: "another block",
    },
    Attack {
        name: "a header with other shard blocks",
        honest,
        forged: |scene| altered(scene, |header| header.references_root = B256::ZERO),
        words: "another block",
    },
    Attack {
        name: "a header of another network",
        honest,
        forged: |scene| decided(scene, |header| header.network = NetworkId(8)),
        words: "of network 8",
    },
    Attack {
        name: "a hand-over that nobody has signed",
        honest,
        forged: |scene| decided(scene, |header| header.epoch = Epoch(1)),
        words: "epoch 1, whose seats are not known",
    },
    Attack {
        name: "a header that leaves a shard out",
        honest,
        forged: |scene| {
            decided(scene, |header| header.tips = header.tips[..2].to_vec().try_into().expect("few"))
        },
        words: "2 shards; the network has 3",
    },
    Attack {
        name: "a child of another genesis",
        honest,
        forged: |scene| decided(scene, |header| header.parent = B256::repeat_byte(3)),
        words: "links to the parent",
    },
    Attack {
        name: "an older header after a newer one",
        honest: |scene| {
            after_second(scene, |light| {
                let first = scene.header().seal();
                light.check(first.clone(), &certificate(&first, &QUORUM))?;
                Ok(())
            })
        },
        forged: |scene| {
            after_second(scene, |light| {
                let first = scene.header().seal();
                light.advance(first.clone(), &certificate(&first, &QUORUM))?;
                Ok(())
            })
        },
        words: "older than the known one at 2",
    },
    Attack {
        name: "another header at the same height",
        honest: |scene| {
            after_second(scene, |light| {
                let same = scene.second().seal();
                light.advance(same.clone(), &certificate(&same, &QUORUM))?;
                Ok(())
            })
        },
        forged: |scene| {
            after_second(scene, |light| {
                let other = RootHeader { timestamp_ms: 9_999, ..scene.second() }.seal();
                light.advance(other.clone(), &certificate(&other, &QUORUM))?;
                Ok(())
            })
        },
        words: "root block 2 is",
    },
    Attack {
        name: "a header that is not the checkpoint's",
        honest: |scene| {
            Light::new(&scene.spec, scene.header().seal().reference())?.confirm(scene.header().seal())?;
            Ok(())
        },
        forged: |scene| {
            Light::new(&scene.spec, elsewhere())?.confirm(scene.header().seal())?;
            Ok(())
        },
        words: "root block 1 is",
    },
    Attack {
        name: "a header below the checkpoint",
        honest: |scene| {
            Light::new(&scene.spec, scene.genesis.reference())?.confirm(scene.genesis.clone())?;
            Ok(())
        },
        forged: |scene| {
            Light::new(&scene.spec, elsewhere())?.confirm(scene.genesis.clone())?;
            Ok(())
        },
        words: "older than the known one at 1",
    },
    Attack {
        name: "a chain that forks off below the checkpoint",
        honest: |scene| {
            let second = scene.second().seal();
            let mut light = Light::new(&scene.spec, scene.header().seal().reference())?;
            light.advance(second.clone(), &certificate(&second, &QUORUM))?;
            Ok(())
        },
        forged: |scene| {
            let second = scene.second().seal();
            let mut light = Light::new(&scene.spec, elsewhere())?;
            light.advance(second.clone(), &certificate(&second, &QUORUM))?;
            Ok(())
        },
        words: "links to the parent",
    },
    Attack {
        name: "a seat whose key was made from others' keys",
        honest: |_| {
            SeatSets::genesis(&spec())?;
            Ok(())
        },
        forged: |_| {
            let mut rogue = spec();
            rogue.shards[1].verifiers[0].public_key = secret(9, 9).public_key().to_bytes();
            SeatSets::genesis(&rogue)?;
            Ok(())
        },
        words: "proof of possession",
    },
];

#[test]
fn forged_certificates_are_refused() {
    hold(CERTIFICATES);
}

#[test]
fn forged_headers_and_hand_overs_are_refused() {
    hold(HEADERS);
}

#[test]
fn what_is_refused_changes_nothing() {
    let scene = Scene::new();
    let mut light = scene.light();
    let first = scene.header().seal();
    assert!(light.advance(first.clone(), &certificate(&first, &TWO_THIRDS)).is_err());
    assert_eq!(light.known(), scene.genesis.reference());
    light.advance(first.clone(), &certificate(&first, &QUORUM)).unwrap();
    assert_eq!(light.known(), first.reference());
}
