"""The servicers: each method validates, asks who is calling, calls one repository method and converts."""
