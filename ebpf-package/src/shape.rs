//! What a type of the object looks like as JSON, read out of its BTF.

use std::collections::BTreeSet;

use crate::btf::{Btf, Kind, Member, Type};
use crate::limits::{DEPTH, LEAVES, NAME_BYTES, VALUE_BYTES};
use crate::refusal::Refusal;

/// A type that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A number without a sign, of 1, 2, 4 or 8 bytes.
    Unsigned(usize),
    /// A number with a sign.
    Signed(usize),
    /// True or false.
    Boolean(usize),
    /// An array of `char`: a text that ends at the first zero.
    Text(usize),
    /// A number by its name.
    Named {
        /// Bytes.
        bytes: usize,
        /// Whether values have a sign.
        signed: bool,
        /// Names by value.
        names: Vec<(i64, String)>,
    },
    /// As many of the same.
    Array {
        /// What.
        element: Box<Self>,
        /// Bytes from one to the next.
        stride: usize,
        /// How many.
        count: usize,
    },
    /// Fields by name.
    Structure {
        /// Bytes.
        bytes: usize,
        /// In their order.
        fields: Vec<Field>,
    },
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its place, bits.
    pub at: usize,
    /// Its width in bits, where that is not its type's.
    pub bits: Option<usize>,
    /// What it is.
    pub shape: Shape,
}

impl Shape {
    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Unsigned(bytes)
            | Self::Signed(bytes)
            | Self::Boolean(bytes)
            | Self::Text(bytes)
            | Self::Named { bytes, .. }
            | Self::Structure { bytes, .. } => *bytes,
            Self::Array { stride, count, .. } => stride.saturating_mul(*count),
        }
    }

    /// Whether values of several CPUs come to one by adding them up: where there are only numbers.
    pub fn adds_up(&self) -> bool {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => true,
            Self::Boolean(_) | Self::Text(_) | Self::Named { .. } => false,
            Self::Array { element, .. } => element.adds_up(),
            Self::Structure { fields, .. } => fields.iter().all(|field| field.shape.adds_up()),
        }
    }
}

/// Reads a type, said to be `what` where it cannot be told.
pub(crate) fn read(btf: &Btf, number: u32, what: &str) -> Result<Shape, Refusal> {
    let mut reader = Reader { btf, leaves: 0 };
    let shape = reader.read(number, what, DEPTH)?;
    if u32::try_from(shape.bytes()).is_ok_and(|bytes| bytes <= VALUE_BYTES) {
        return Ok(shape);
    }
    Err(Refusal::too_much(format!("bytes of {what}"), shape.bytes(), VALUE_BYTES))
}

struct Reader<'a> {
    btf: &'a Btf,
    leaves: usize,
}

impl Reader<'_> {
    fn read(&mut self, number: u32, what: &str, deep: usize) -> Result<Shape, Refusal> {
        let deep = deep.checked_sub(1).ok_or_else(|| untellable(what, "it is nested too deep"))?;
        let (number, found) = self.btf.resolved(number).ok_or_else(|| untellable(what, "it has no type"))?;
        match found.kind {
            Kind::Integer => self.integer(found, what),
            Kind::Enumeration | Kind::Enumeration64 => {
                self.count(1, what)?;
                Ok(Shape::Named {
                    bytes: whole(found.size).ok_or_else(|| untellable(what, "its size is not that of a number"))?,
                    signed: found.flag,
                    names: self.btf.values(found),
                })
            }
            Kind::Array => self.array(found, what, deep),
            Kind::Structure => self.structure(number, found, what, deep),
            Kind::Pointer => Err(untellable(what, "it is a pointer: an address of the kernel means nothing outside")),
            Kind::Union => Err(untellable(what, "it is a union: nothing says which of its fields counts")),
            Kind::Float => Err(untellable(what, "it is a floating-point number, which the kernel does not have")),
            Kind::Forward | Kind::Alias | Kind::Function | Kind::Prototype | Kind::Variable | Kind::Section | Kind::Tag => {
                Err(untellable(what, "it is no type of a value"))
            }
        }
    }

    fn integer(&mut self, found: &Type, what: &str) -> Result<Shape, Refusal> {
        self.count(1, what)?;
        let (encoding, offset, bits) = Btf::encoding(found).unwrap_or_default();
        let bytes = whole(found.size).ok_or_else(|| untellable(what, "it is a number of more than 64 bits"))?;
        if offset != 0 || usize::try_from(bits) != Ok(bytes * 8) && encoding & BOOLEAN == 0 {
            return Err(untellable(what, "it is a number of some of its bits"));
        }
        Ok(if encoding & BOOLEAN != 0 {
            Shape::Boolean(bytes)
        } else if encoding & SIGNED != 0 {
            Shape::Signed(bytes)
        } else {
            Shape::Unsigned(bytes)
        })
    }

    fn array(&mut self, found: &Type, what: &str, deep: usize) -> Result<Shape, Refusal> {
        let (element, count) = Btf::elements(found).ok_or_else(|| untellable(what, "its elements are not described"))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 {
            return Err(untellable(what, "it is an array without elements"));
        }
        if self.is_char(element) {
            self.count(1, what)?;
            return Ok(Shape::Text(count));
        }
        let before = self.leaves;
        let element = self.read(element, &format!("{what}[]"), deep)?;
        let each = self.leaves - before;
        self.count(each.saturating_mul(count - 1), what)?;
        Ok(Shape::Array {
            stride: element.bytes(),
            element: Box::new(element),
            count,
        })
    }

    fn structure(&mut self, number: u32, found: &Type, what: &str, deep: usize) -> Result<Shape, Refusal> {
        let bytes = self.btf.bytes(number).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let mut fields = Vec::new();
        for member in self.btf.members(found) {
            self.member(&member, what, deep, &mut fields)?;
        }
        let mut names = BTreeSet::new();
        for field in &fields {
            let end = field.bits.unwrap_or(field.shape.bytes().saturating_mul(8)).saturating_add(field.at);
            if end > bytes.saturating_mul(8) {
                return Err(untellable(what, &format!("its field {} lies outside of it", field.name)));
            }
            if !names.insert(field.name.as_str()) {
                return Err(untellable(what, &format!("it has two fields {}", field.name)));
            }
        }
        if fields.is_empty() {
            return Err(untellable(what, "it is a structure without fields"));
        }
        Ok(Shape::Structure { bytes, fields })
    }

    fn member(&mut self, member: &Member<'_>, what: &str, deep: usize, fields: &mut Vec<Field>) -> Result<(), Refusal> {
        let at = usize::try_from(member.at).unwrap_or(usize::MAX);
        let shape = |reader: &mut Self| reader.read(member.number, &format!("{what}.{}", member.name), deep);
        if member.name.is_empty() {
            // What C lets one call by its own name is told by it.
            let Shape::Structure { fields: inner, .. } = shape(self)? else {
                return Err(untellable(what, "it has a field without a name"));
            };
            fields.extend(inner.into_iter().map(|field| Field {
                at: field.at.saturating_add(at),
                ..field
            }));
            return Ok(());
        }
        if member.name.len() > NAME_BYTES || !crate::attach::is_name(member.name) {
            return Err(untellable(what, "it has a field with a name that C would not have"));
        }
        let shape = shape(self)?;
        let bits = usize::try_from(member.bits).ok().filter(|bits| *bits > 0);
        if bits.is_none() && !at.is_multiple_of(8) {
            return Err(untellable(what, &format!("its field {} does not begin at a byte", member.name)));
        }
        if let Some(bits) = bits {
            let is_number = matches!(shape, Shape::Unsigned(_) | Shape::Signed(_) | Shape::Boolean(_) | Shape::Named { .. });
            if !is_number || bits > 64 || at % 8 + bits > 64 {
                return Err(untellable(
                    what,
                    &format!("its field {} has bits that cannot be read as one number", member.name),
                ));
            }
        }
        fields.push(Field {
            name: member.name.to_owned(),
            at,
            bits,
            shape,
        });
        Ok(())
    }

    /// Whether an element is `char` by that very name: bytes of other names are numbers.
    fn is_char(&self, number: u32) -> bool {
        let found = self.btf.resolved(number).map(|(_, found)| found);
        found.is_some_and(|found| found.kind == Kind::Integer && found.size == 1 && self.btf.name(found) == "char")
    }

    fn count(&mut self, more: usize, what: &str) -> Result<(), Refusal> {
        self.leaves = self.leaves.saturating_add(more);
        if self.leaves > LEAVES {
            return Err(Refusal::too_much(format!("values in {what}"), self.leaves, LEAVES));
        }
        Ok(())
    }
}

const fn whole(bytes: u32) -> Option<usize> {
    match bytes {
        1 => Some(1),
        2 => Some(2),
        4 => Some(4),
        8 => Some(8),
        _ => None,
    }
}

fn untellable(what: &str, why: &str) -> Refusal {
    Refusal::Untellable {
        what: what.to_owned(),
        why: why.to_owned(),
    }
}

/// Encodings of integers.
const SIGNED: u32 = 1;
const BOOLEAN: u32 = 4;
