"""The platform's end, in small: decode, write down, acknowledge, drop duplicates, prove completeness.

For demonstrations, tests and taking a gateway into service. A platform that does the same has all that it needs;
docs/platform-link.md says what that is.
"""
