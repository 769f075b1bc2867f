//! Which fields are compared, and as what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// What a field holds, which decides how two of its values are compared. In YAML: `identity.matching.compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FieldKind")]
pub enum Kind {
    /// A person's whole name: "John Doe", "Doe, John", "Dr. John D. Doe Jr.".
    PersonName,
    /// The given names alone.
    GivenName,
    /// The family name alone.
    FamilyName,
    /// An e-mail address.
    Email,
    /// A telephone number, written in any way.
    Phone,
    /// A date that does not change, such as that of birth.
    Date,
    /// A postcode.
    Postcode,
    /// A street with a number.
    Address,
    /// Short free text that is the same or not, such as a city.
    Text,
    /// A number or code that belongs to one person, such as that of a passport or a loyalty card.
    Code,
}

/// A field that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name: a trait, an identifier's type, a column.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// The fields that are compared, and the components of a comparison that follow from them.
///
/// All parts of a name, however they are spread over fields, are one name, and compared as a given and a family name. Every other
/// field is a component of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Field>", into = "Vec<Field>")]
pub struct Fields {
    fields: Vec<Field>,
    components: Vec<Component>,
}

/// What one place of a pattern says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The name of the field, or of the part of the name, as explanations show it.
    pub name: String,
    /// How values are compared.
    pub ladder: Ladder,
}

/// A way to compare two values: how alike they are, in a few levels from the same to different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ladder {
    /// Given names.
    Given,
    /// Family names.
    Family,
    /// Given and family name together. It is no evidence of its own: how frequent a whole name is corrects what its parts, taken as
    /// independent, would say.
    Whole,
    /// Whether given and family name stand in each other's places.
    Order,
    /// Senior and junior.
    Generation,
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// Dates.
    Date,
    /// Postcodes.
    Postcode,
    /// Streets.
    Address,
    /// Free text.
    Text,
    /// Codes.
    Code,
}

impl Ladder {
    /// The levels, from the most alike to the least, as explanations show them.
    #[must_use]
    pub fn levels(self) -> &'static [&'static str] {
        match self {
            Ladder::Given => &["the same", "a variant", "an initial", "nearly the same", "one of several", "alike", "different"],
            Ladder::Family => &["the same", "a part", "an initial", "nearly the same", "alike", "different"],
            Ladder::Whole => &[],
            Ladder::Order => &["in order", "swapped"],
            Ladder::Generation => &["the same", "different"],
            Ladder::Email => &["the same", "another domain", "nearly the same", "different"],
            Ladder::Phone => &["the same", "the same last seven digits", "one digit off", "different"],
            Ladder::Date => &["the same", "one digit or an exchange off", "two of three parts", "the same year", "different"],
            Ladder::Postcode => &["the same", "nearly the same", "the same area", "different"],
            Ladder::Address => &["the same", "nearly the same", "the same street", "different"],
            Ladder::Text => &["the same", "nearly the same", "different"],
            Ladder::Code => &["the same", "nearly the same", "different"],
        }
    }

    /// Whether its values are given to one person or one home: strangers do not share them by chance, as they share names.
    #[must_use]
    pub fn is_assigned(self) -> bool {
        matches!(self, Ladder::Email | Ladder::Phone | Ladder::Code)
    }

    /// Whether how common a value is counts: a shared rare value says more than a shared common one.
    #[must_use]
    pub fn weighs_frequency(self) -> bool {
        !matches!(self, Ladder::Order | Ladder::Generation)
    }
}

impl TryFrom<Vec<Field>> for Fields {
    type Error = String;

    fn try_from(fields: Vec<Field>) -> Result<Self, String> {
        Fields::new(fields)
    }
}

impl From<Fields> for Vec<Field> {
    fn from(fields: Fields) -> Self {
        fields.fields
    }
}

impl Fields {
    /// The components of these fields.
    ///
    /// # Errors
    /// What is wrong with them, for people: none, too many, a name twice.
    pub fn new(fields: Vec<Field>) -> Result<Self, String> {
        if fields.is_empty() {
            return Err("there is no field to compare".into());
        }
        if let Some(twice) =
            fields.iter().enumerate().find(|(place, one)| fields[..*place].iter().any(|other| other.name == one.name))
        {
            return Err(format!("the field `{}` stands there twice", twice.1.name));
        }
        let mut components = Vec::new();
        let mut put = |name: &str, ladder| components.push(Component { name: name.to_owned(), ladder });
        let has = |kinds: &[Kind]| fields.iter().any(|field| kinds.contains(&field.kind));
        let (given, family) = (has(&[Kind::PersonName, Kind::GivenName]), has(&[Kind::PersonName, Kind::FamilyName]));
        if given {
            put("given name", Ladder::Given);
        }
        if family {
            put("family name", Ladder::Family);
            put("generation", Ladder::Generation);
        }
        if given && family {
            put("order of names", Ladder::Order);
            put("whole name", Ladder::Whole);
        }
        for field in &fields {
            let ladder = match field.kind {
                Kind::PersonName | Kind::GivenName | Kind::FamilyName => continue,
                Kind::Email => Ladder::Email,
                Kind::Phone => Ladder::Phone,
                Kind::Date => Ladder::Date,
                Kind::Postcode => Ladder::Postcode,
                Kind::Address => Ladder::Address,
                Kind::Text => Ladder::Text,
                Kind::Code => Ladder::Code,
            };
            put(&field.name, ladder);
        }
        if components.len() > limits::COMPONENTS_MAX {
            return Err(format!("there are {} fields, and {} can be compared", fields.len(), limits::COMPONENTS_MAX - 4));
        }
        Ok(Fields { fields, components })
    }

    /// The fields, in the order given.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The components of a pattern, in order.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The place of the first component with this ladder.
    pub(crate) fn place(&self, ladder: Ladder) -> Option<u8> {
        self.components.iter().position(|one| one.ladder == ladder).map(|place| place as u8)
    }

    /// The component of each field that is not a part of a name.
    pub(crate) fn place_of(&self, field: &str) -> Option<u8> {
        let named = |one: &Component| {
            !matches!(one.ladder, Ladder::Given | Ladder::Family | Ladder::Order | Ladder::Whole | Ladder::Generation)
        };
        self.components.iter().position(|one| named(one) && one.name == field).map(|place| place as u8)
    }
}
