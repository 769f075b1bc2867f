//! Sets of rules that mParticle's customers know by name (its identity strategies), as data.
//!
//! Each is what [`Rules`] can say, and nothing more. Its list of types is the one of Weft, not mParticle's: which types there are is
//! the workspace's to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IdentifierRule, OnLogin, OnLogout, Rules};

/// A set of rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A user id signs in, and the anonymous visitor is the one who does.
    Default,
    /// The same, for workspaces that say themselves which types sign in and are unique.
    ProfileConversion,
    /// A user id or an e-mail address signs in. Who does is a new customer, with what came before.
    ProfileLink,
    /// A user id or an e-mail address signs in. Who does is a new customer, and the anonymous visitor stays one.
    ProfileIsolation,
    /// Nothing signs in: whatever events name together is one customer.
    BestMatch,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 5] =
        [Strategy::Default, Strategy::ProfileConversion, Strategy::ProfileLink, Strategy::ProfileIsolation, Strategy::BestMatch];

    /// The types that prove a sign-in, and whose values are unique.
    fn logins(self) -> &'static [&'static str] {
        match self {
            Strategy::Default | Strategy::ProfileConversion => &["user_id"],
            Strategy::ProfileLink | Strategy::ProfileIsolation => &["user_id", "email"],
            Strategy::BestMatch => &[],
        }
    }

    /// Its rules.
    #[must_use]
    pub fn rules(self) -> Rules {
        let default = Rules::default();
        let rule = |rule: IdentifierRule| {
            let login = self.logins().contains(&&*rule.kind);
            let limit = if self == Strategy::BestMatch { None } else { rule.limit };
            IdentifierRule { login, unique: login, limit, ..rule }
        };
        let (on_login, on_logout) = match self {
            Strategy::Default | Strategy::ProfileConversion => (OnLogin::Join, OnLogout::New),
            Strategy::ProfileLink => (OnLogin::NewWithHistory, OnLogout::New),
            Strategy::ProfileIsolation => (OnLogin::New, OnLogout::New),
            Strategy::BestMatch => (OnLogin::Join, OnLogout::Stay),
        };
        Rules { identifiers: default.identifiers.into_iter().map(rule).collect(), on_login, on_logout, ..default }
    }
}
