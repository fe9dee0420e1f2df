# A cache that pipes WebSocket, as varnish's documentation shows it: once piped, it does not look at what
# passes, the server's answer included. Words between @ are set by the test.
vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "@BACKEND@";
}

sub vcl_recv {
    # What only a tunnel would get past.
    if (req.url ~ "^/secret") {
        return (synth(403));
    }
    if (req.http.upgrade ~ "(?i)websocket") {
        return (pipe);
    }
}

sub vcl_pipe {
    if (req.http.upgrade) {
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = req.http.connection;
    }
}
