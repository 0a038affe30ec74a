"""The key holder's wing: the client's, and the web server's too."""
