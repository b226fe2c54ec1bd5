# bash completion for thttpd(8). tests/packaging checks that every option of the program is here.

_thttpd() {
	local cur prev
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	# `=` splits words: in `-o name=value` the word under the cursor is the value.
	local names="port= dir= chroot nochroot data_dir= symlinkcheck nosymlinkcheck vhost novhost
		globalpasswd noglobalpasswd user= cgipat= cgilimit= urlpat= localpat= noemptyreferrers
		noemptyreferers throttles= rules= rule= host= logfile= pidfile= charset= mime_types= default_type= index= p3p= max_age= debug workers=
		max_connections= max_connections_per_address= head_limit= target_limit= field_limit=
		body_limit= request_memory= request_spool= body_min_rate= send_min_rate= min_rate_window= keepalive_requests= head_timeout= body_timeout= send_timeout=
		keepalive_timeout= keepalive_max_time= cgi_timeout= stop_grace= cache_entries=
		listen= stop_delay= log_format= vhost_default= trusted_proxies= client_header=
		cache_bytes= cgi_output_limit= stats_interval= watchdog= landlock
		nolandlock reload_on_hup noreload_on_hup hide_dotfiles showdotfiles listing nolisting"
	names+=" precompressed noprecompressed etag= redirects= listing_style="
	local flags="-C -p -d -r -nor -dd -s -nos -v -nov -g -nog -u -c -t -h -l -i -T -P -M -V -D -o
		--help --version --check --dump-config --explain --from --healthcheck"

	case $prev in
	-C | -t | -l | -i)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames
		;;
	-d | -dd)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		compopt -o filenames
		;;
	-u)
		mapfile -t COMPREPLY < <(compgen -u -- "$cur")
		;;
	-T)
		mapfile -t COMPREPLY < <(compgen -W "UTF-8 ISO-8859-1 US-ASCII" -- "$cur")
		;;
	-o)
		mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
		[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
		;;
	-p | -c | -h | -P | -M | --explain | --from | =) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
		if [[ $cur != -* ]]; then
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
			compopt -o filenames
		fi
		;;
	esac
}

complete -F _thttpd thttpd
