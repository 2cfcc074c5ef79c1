# Checks the TCP of the service at $SERVICE with a TCP that misbehaves on request: bats tcpx.bats
# docs/scripts.md describes the steps, docs/faults.md the faults. Each check has a time limit.

client() { # [FLAG ..]: plays the script on stdin
    timeout 30 tcpx-client "$SERVICE" --script /dev/stdin --msl 100ms "$@"
}

@test "a request is answered, and both sides close" {
    client <<'END'
    connect
    send "GET / HTTP/1.0\r\n\r\n"
    expect "HTTP/1.1 200"
    receive to end
    close
    expect closed clean
END
}

@test "a request is answered although segments are lost" {
    client --fault 'drop out data#1' --fault 'drop in data#1' <<'END'
    connect
    send "GET / HTTP/1.0\r\n\r\n"
    expect "HTTP/1.1 200"
    receive to end
    close
    expect closed clean
END
}

@test "a client that connects and sends nothing is disconnected" {
    client <<'END'
    connect
    receive to end
    close
    expect closed clean
END
}

@test "a client that resets does not keep the next one from being served" {
    client <<'END'
    connect as rude
    rude: send "GET / HTTP/1.1\r\n"
    rude: abort
    rude: expect closed aborted
    connect as next
    next: send "GET / HTTP/1.0\r\n\r\n"
    next: expect "HTTP/1.1 200"
    next: receive to end
    next: close
    next: expect closed clean
END
}

@test "no socket stays in CLOSE-WAIT after the client has closed" {
    client <<'END'
    connect
    send "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    expect "HTTP/1.1 200"
    shutdown
    receive to end
    close
    expect closed clean
END
    # The service runs on this machine's kernel. To check it from another machine, remove these lines.
    left=$(ss --no-header --numeric --tcp state close-wait "sport = :${SERVICE##*:}")
    echo "in CLOSE-WAIT: $left"
    [ -z "$left" ]
}
