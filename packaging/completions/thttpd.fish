# fish completion for thttpd(8). tests/packaging checks that every option of the program is here.

complete -c thttpd -f
complete -c thttpd -o C -r -F -d 'read a configuration file here'
complete -c thttpd -o p -x -d port
complete -c thttpd -o d -x -a '(__fish_complete_directories)' -d 'directory to serve'
complete -c thttpd -o r -d 'chroot into the directory'
complete -c thttpd -o nor -d 'no chroot'
complete -c thttpd -o dd -x -a '(__fish_complete_directories)' -d 'directory to change to after chroot'
complete -c thttpd -o s -d 'symbolic links may not leave the tree'
complete -c thttpd -o nos -d 'symbolic links may lead anywhere'
complete -c thttpd -o v -d 'one directory for each host name'
complete -c thttpd -o nov -d 'one tree for every host name'
complete -c thttpd -o g -d 'the .htpasswd at the top decides for all'
complete -c thttpd -o nog -d 'each directory has its own .htpasswd'
complete -c thttpd -o u -x -a '(__fish_complete_users)' -d 'user to become when started as root'
complete -c thttpd -o c -x -d 'which files are CGI scripts'
complete -c thttpd -o t -r -F -d 'throttle file'
complete -c thttpd -o h -x -d 'host name or address to bind'
complete -c thttpd -o l -r -F -d 'log file, - for standard output'
complete -c thttpd -o i -r -F -d 'pid file'
complete -c thttpd -o T -x -a 'UTF-8 ISO-8859-1 US-ASCII' -d 'charset of text types'
complete -c thttpd -o P -x -d 'value of the P3P field'
complete -c thttpd -o M -x -d 'seconds that clients may keep a page'
complete -c thttpd -o V -d 'print the version'
complete -c thttpd -o D -d 'stay in the foreground'
complete -c thttpd -l help -d 'list the options'
complete -c thttpd -l version -d 'print the version'
complete -c thttpd -l check -d 'check flags and configuration, start nothing'
complete -c thttpd -l dump-config -d 'print every setting and where it comes from'
complete -c thttpd -l explain -x -d 'tell how one URL is answered, and why'
complete -c thttpd -l from -x -d 'whom to explain it for'
complete -c thttpd -l healthcheck -d 'ask a running server for a URL'

set -l with port dir data_dir user cgipat cgilimit urlpat localpat throttles rules rule host logfile pidfile \
    charset mime_types default_type index p3p max_age workers max_connections max_connections_per_address head_limit target_limit \
    field_limit body_limit request_memory request_spool body_min_rate send_min_rate min_rate_window keepalive_requests head_timeout body_timeout send_timeout \
    keepalive_timeout keepalive_max_time cgi_timeout stop_grace cache_entries cache_bytes \
    listen stop_delay log_format vhost_default trusted_proxies client_header \
    cgi_output_limit stats_interval watchdog
set -l without chroot nochroot symlinkcheck nosymlinkcheck vhost novhost globalpasswd \
    noglobalpasswd noemptyreferrers noemptyreferers debug landlock nolandlock \
    reload_on_hup noreload_on_hup hide_dotfiles showdotfiles listing nolisting
set -a without precompressed noprecompressed
set -a with etag redirects listing_style
complete -c thttpd -o o -x -a "$with= $without" -d 'any option of the configuration file'
