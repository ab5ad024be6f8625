"""The single writer: takes events one at a time, lets the fleet decide, carries the effects out, keeps the journal."""
