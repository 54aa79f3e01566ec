//! The ways in which the rules can be made wrong on purpose.

/// One rule left out or misread. The model must find what it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Certificates and openings need one voter less than q.
    SmallQuorum,
    /// Openings alone need one promise less than q.
    SmallOpening,
    /// A PrepareCert wins against any supported block, whatever the views.
    PreparedFirst,
    /// In a tie of views the supported block wins against the PrepareCert.
    SupportFirst,
    /// f + 1 approvals count only if they name the very same view.
    SupportOfOneView,
    /// A block's support is its highest approval's view, once it has f + 1 approvals.
    SupportOfHighest,
    /// No f + 1 rule.
    NoSupport,
    /// Honest verifiers vote in a view below the one that they have promised.
    VoteBelowPromise,
    /// Promises leave the PrepareCert out.
    PromiseWithoutPrepared,
    /// Promises leave the decided tip out.
    PromiseWithoutTip,
    /// Honest verifiers vote for whatever the leader of a later view proposes.
    NoOpening,
    /// Honest verifiers vote for two blocks in one view.
    TwoBlocks,
    /// Honest verifiers call a block invalid after they have called it valid in full.
    ChangeOfMind,
    /// Honest verifiers commit a block whose parent they have approved, but not decided.
    CommitOnUndecided,
    /// Honest verifiers approve a block whose parent they have not approved.
    ChildBeforeParent,
}

impl Flaw {
    pub(crate) const ALL: [Self; 15] = [
        Self::SmallQuorum,
        Self::SmallOpening,
        Self::PreparedFirst,
        Self::SupportFirst,
        Self::SupportOfOneView,
        Self::SupportOfHighest,
        Self::NoSupport,
        Self::VoteBelowPromise,
        Self::PromiseWithoutPrepared,
        Self::PromiseWithoutTip,
        Self::NoOpening,
        Self::TwoBlocks,
        Self::ChangeOfMind,
        Self::CommitOnUndecided,
        Self::ChildBeforeParent,
    ];
}
