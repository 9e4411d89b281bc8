//! Decimal arithmetic, in which 0.1 and 0.2 are 0.3: what sprig takes from shopspring/decimal.

/// Digits after the point of a quotient.
const DIVISION_DIGITS: i32 = 16;

/// A number times a power of ten; what does not fit is computed as a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Decimal {
    Exact { digits: i128, exponent: i32 },
    Float(f64),
}

impl From<i128> for Decimal {
    fn from(digits: i128) -> Decimal {
        Decimal::Exact { digits, exponent: 0 }
    }
}

impl Decimal {
    /// The shortest decimal that is this float.
    pub(super) fn of(number: f64) -> Decimal {
        let text = format!("{number:e}");
        let parsed = text.split_once('e').and_then(|(mantissa, exponent)| {
            let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let digits = mantissa.replace('.', "").parse().ok()?;
            let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(places).ok()?)?;
            Some(Decimal::Exact { digits, exponent })
        });
        parsed.unwrap_or(Decimal::Float(number))
    }

    /// The float nearest to it.
    pub(super) fn to_float(self) -> f64 {
        match self {
            Decimal::Exact { digits, exponent } => format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN),
            Decimal::Float(number) => number,
        }
    }

    pub(super) fn plus(self, other: Decimal) -> Decimal {
        let sum = self.aligned(other).and_then(|(left, right, exponent)| {
            Some(Decimal::Exact { digits: left.checked_add(right)?, exponent })
        });
        sum.unwrap_or_else(|| Decimal::Float(self.to_float() + other.to_float()))
    }

    pub(super) fn minus(self, other: Decimal) -> Decimal {
        let difference = self.aligned(other).and_then(|(left, right, exponent)| {
            Some(Decimal::Exact { digits: left.checked_sub(right)?, exponent })
        });
        difference.unwrap_or_else(|| Decimal::Float(self.to_float() - other.to_float()))
    }

    pub(super) fn times(self, other: Decimal) -> Decimal {
        let product = self.parts().zip(other.parts()).and_then(|((left, e), (right, f))| {
            Some(Decimal::Exact { digits: left.checked_mul(right)?, exponent: e.checked_add(f)? })
        });
        product.unwrap_or_else(|| Decimal::Float(self.to_float() * other.to_float()))
    }

    /// The quotient, rounded half away from zero. The divisor is not zero.
    pub(super) fn over(self, other: Decimal) -> Decimal {
        let quotient = self.parts().zip(other.parts()).and_then(|((left, e), (right, f))| {
            let shift = DIVISION_DIGITS.checked_add(e)?.checked_sub(f)?;
            let (left, right) = match u32::try_from(shift) {
                Ok(up) => (left.checked_mul(10_i128.checked_pow(up)?)?, right),
                Err(_) => (left, right.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?),
            };
            let (whole, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
            let up = rest.unsigned_abs().checked_mul(2)? >= right.unsigned_abs();
            let away = if (left < 0) == (right < 0) { 1 } else { -1 };
            let digits = if up { whole.checked_add(away)? } else { whole };
            Some(Decimal::Exact { digits, exponent: -DIVISION_DIGITS })
        });
        quotient.unwrap_or_else(|| Decimal::Float(self.to_float() / other.to_float()))
    }

    fn parts(self) -> Option<(i128, i32)> {
        match self {
            Decimal::Exact { digits, exponent } => Some((digits, exponent)),
            Decimal::Float(_) => None,
        }
    }

    /// Both with the smaller exponent.
    fn aligned(self, other: Decimal) -> Option<(i128, i128, i32)> {
        let ((left, e), (right, f)) = self.parts().zip(other.parts())?;
        let least = e.min(f);
        let scaled = |digits: i128, exponent: i32| {
            let up = u32::try_from(exponent.checked_sub(least)?).ok()?;
            digits.checked_mul(10_i128.checked_pow(up)?)
        };
        Some((scaled(left, e)?, scaled(right, f)?, least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_do_not_drift() {
        let sum = Decimal::of(0.1).plus(Decimal::of(0.2));
        assert_eq!(sum.to_float(), 0.3);
        assert_eq!(Decimal::of(1.0).over(Decimal::of(3.0)).to_float(), 0.3333333333333333);
        assert_eq!(Decimal::of(-2.0).over(Decimal::of(3.0)).to_float(), -0.6666666666666667);
        assert_eq!(Decimal::of(1e300).plus(Decimal::of(1e-300)).to_float(), 1e300);
        assert!(Decimal::of(f64::NAN).plus(Decimal::of(1.0)).to_float().is_nan());
    }
}
