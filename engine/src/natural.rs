//! The order in which people put names: `node-2` before `node-10`, upper and lower case as one.

/// A text whose bytes are in that order. Numbers in it are without leading zeros and begin with how many
/// digits they have.
pub fn key(text: &str) -> String {
    let mut key = String::with_capacity(text.len().saturating_add(8));
    let mut digits = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_digit() {
            digits.push(character);
        } else {
            push_number(&mut key, &digits);
            digits.clear();
            key.push(character);
        }
    }
    push_number(&mut key, &digits);
    key
}

fn push_number(key: &mut String, digits: &str) {
    if digits.is_empty() {
        return;
    }
    let number = digits.trim_start_matches('0');
    let number = if number.is_empty() { "0" } else { number };
    // `9` says that nine digits are behind it and more to come.
    let mut left = number.len();
    while left > 9 {
        key.push('9');
        left -= 9;
    }
    key.extend(char::from_digit(u32::try_from(left.saturating_sub(1)).unwrap_or(0), 10));
    key.push_str(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_order_and_case_is_none() {
        let names = [
            "",
            "DB",
            "db-01",
            "db-2",
            "DB-10",
            "db-10-b",
            "db-10a",
            "db-99999999999",
            "db-100000000000",
            "db-a",
            "ß",
        ];
        let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(key("Node-007"), key("node-7"));
        assert_eq!(key("node-10.example"), "node-110.example");
        assert_eq!(key("0"), "00");
    }
}
