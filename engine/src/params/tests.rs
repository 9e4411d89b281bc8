//! Precedence, aggregation and composition of params.

use super::*;
